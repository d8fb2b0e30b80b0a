/*
 * Records what a process does to the files of one directory, so that a power cut can be played
 * afterwards: see powercut.rs, which reads the journal. Preloaded with LD_PRELOAD.
 *
 * Calls go through to the file system, except syncs, which cost time and change nothing that a
 * living process can see. Each call and its record are one step under a lock. What is not recorded
 * (writes through mmap, stdio, io_uring) is lost in every cut: powercut.rs compares the journal with
 * the directory to notice that.
 *
 *   POWERCUT_DIR      the directory, as realpath gives it
 *   POWERCUT_JOURNAL  the journal, outside of it; appended to
 *   POWERCUT_KILL     kill -9 after this many records
 *   POWERCUT_FAIL     from the n-th operation on (1 is the first) every one fails with POWERCUT_ERRNO
 *   POWERCUT_ONCE     ... only that one
 *   POWERCUT_ROOM     bytes that files may still grow by; beyond that ENOSPC. Deleting gives room.
 *   POWERCUT_LIE      syncs are answered and not done, as by a disk that lies
 *
 * A record: one letter, then three little-endian 64-bit numbers a, b, n, then n bytes.
 *   C created    a inode            path        D directory made                   path
 *   O created    a inode, no name               L given its name  a inode          path
 *   W written    a inode b offset   data        T set to length  a inode b length
 *   R renamed    b length of from   from to     U deleted                          path
 *   S synced     a inode                        Y directory synced                 path
 *   A everything synced
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *dir;
static size_t dir_len;
static int journal = -1;
static long long records, operations, kill_at, fail_at, fail_errno = EIO, fail_once, lie;
static long long room = -1;

/* Inodes below the directory, open-addressed. Files are few in a test. */
#define SEATS 65536
static ino_t seats[SEATS];

static ino_t *seat(ino_t ino) {
    size_t i = (size_t)((uint64_t)ino * 0x9e3779b97f4a7c15u >> 48);
    while (seats[i] && seats[i] != ino) i = (i + 1) % SEATS;
    return &seats[i];
}

static long long number(const char *name, long long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POWERCUT_JOURNAL");
    dir = getenv("POWERCUT_DIR");
    if (!dir || !path) return;
    dir_len = strlen(dir);
    kill_at = number("POWERCUT_KILL", 0);
    fail_at = number("POWERCUT_FAIL", 0);
    fail_errno = number("POWERCUT_ERRNO", EIO);
    fail_once = number("POWERCUT_ONCE", 0);
    room = number("POWERCUT_ROOM", -1);
    lie = number("POWERCUT_LIE", 0);
    REAL(int, open, const char *, int, ...);
    journal = real_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int recording(void) { return journal >= 0; }

/* Not the shared memory of SQLite: it is written through mmap and worth nothing after a crash. */
static int below(const char *path) {
    size_t len = strlen(path);
    if (!recording() || (len > 4 && !strcmp(path + len - 4, "-shm"))) return 0;
    return !strncmp(path, dir, dir_len) && (path[dir_len] == '/' || !path[dir_len]);
}

/* One writev: a killed process leaves whole records, but perhaps for the last. */
static void record(char kind, uint64_t a, uint64_t b, const struct iovec *parts, int n_parts) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    uint64_t head[3] = {a, b, 0};
    struct iovec all[16] = {{&kind, 1}, {head, sizeof head}};
    for (int i = 0; i < n_parts && i < 14; i++) {
        all[2 + i] = parts[i];
        head[2] += parts[i].iov_len;
    }
    size_t want = 25 + head[2];
    ssize_t done = real_writev(journal, all, 2 + n_parts);
    if (done != (ssize_t)want) abort(); /* the journal's own disk is full */
    if (++records == kill_at) kill(getpid(), SIGKILL);
}

static void record_text(char kind, uint64_t a, const char *text) {
    struct iovec part = {(void *)text, strlen(text)};
    record(kind, a, 0, &part, 1);
}

/* Whether this operation is to fail. */
static int fails(void) {
    operations++;
    if (!fail_at || operations < fail_at || (fail_once && operations > fail_at)) return 0;
    errno = (int)fail_errno;
    return 1;
}

/* Whether a file may grow from one length to another. */
static int no_room(off_t from, off_t to) {
    if (room < 0 || to <= from) return 0;
    if (to - from > room) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

static void took(off_t from, off_t to) {
    if (room >= 0) room += from - to;
}

/* The file behind a descriptor, when it is one of ours. */
static int ours(int fd, struct stat *st) {
    return recording() && fd != journal && !fstat(fd, st) && S_ISREG(st->st_mode) && *seat(st->st_ino);
}

static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return -1;
    path[n] = 0;
    return 0;
}

/* The absolute path of a name that may not exist: its directory's real path and its last part. */
static int path_at(int at, const char *name, char *path) {
    char joined[2 * PATH_MAX], copy[2 * PATH_MAX], real[PATH_MAX];
    if (name[0] == '/' || at == AT_FDCWD) {
        snprintf(joined, sizeof joined, "%s", name);
    } else {
        if (path_of_fd(at, real)) return -1;
        snprintf(joined, sizeof joined, "%s/%s", real, name);
    }
    size_t len = strlen(joined);
    while (len > 1 && joined[len - 1] == '/') joined[--len] = 0;
    char *slash = strrchr(joined, '/');
    const char *last = slash ? slash + 1 : joined;
    if (!slash) {
        strcpy(copy, ".");
    } else {
        memcpy(copy, joined, (size_t)(slash - joined));
        copy[slash - joined] = 0;
        if (!copy[0]) strcpy(copy, "/");
    }
    if (!realpath(copy, real)) return -1;
    int n = snprintf(path, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", last);
    return n < PATH_MAX ? 0 : -1;
}

/* ---- opening ---- */

static int opened(int fd, int existed, int flags, off_t old) {
    char path[PATH_MAX];
    struct stat st;
    if (fd < 0 || fstat(fd, &st) || path_of_fd(fd, path)) return fd;
    ino_t *place = seat(st.st_ino);
    if (!below(path)) {
        /* The inode of a deleted file of ours may live on elsewhere. Its seat stays taken: 0 would
           break the chain, and no inode is all ones. */
        if (*place) *place = (ino_t)-1;
        return fd;
    }
    if (!S_ISREG(st.st_mode)) return fd;
    *place = st.st_ino;
    if (!existed) {
        record_text('C', st.st_ino, path);
    } else if (flags & O_TRUNC) {
        took(old, 0);
        record('T', st.st_ino, 0, NULL, 0);
    }
    return fd;
}

/* A file without a name in a directory. */
static int open_nameless(int at, const char *name, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    char path[PATH_MAX];
    struct stat st;
    pthread_mutex_lock(&lock);
    int mine = !path_at(at, name, path) && below(path);
    int fd = mine && fails() ? -1 : real_openat(at, name, flags, mode);
    if (mine && fd >= 0 && !fstat(fd, &st)) {
        *seat(st.st_ino) = st.st_ino;
        record('O', st.st_ino, 0, NULL, 0);
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return fd;
}

static int open_at(int at, const char *name, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    if (!recording()) return real_openat(at, name, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) return open_nameless(at, name, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat st = {0};
    int existed = !fstatat(at, name, &st, 0);
    char path[PATH_MAX];
    int writes = (flags & O_CREAT) && !existed && !path_at(at, name, path) && below(path);
    int fd = writes && fails() ? -1 : opened(real_openat(at, name, flags, mode), existed, flags, st.st_size);
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) return open_at(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags) return open_at(at, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* ---- writing ---- */

#define LOCKED(type, ours_expr, otherwise, body) \
    struct stat st; \
    if (!recording()) return otherwise; \
    pthread_mutex_lock(&lock); \
    type result; \
    if (!(ours_expr)) { \
        result = otherwise; \
    } else { \
        body \
    } \
    int e = errno; \
    pthread_mutex_unlock(&lock); \
    errno = e; \
    return result;

/* One part of a write that went through, at its place. */
static void written(const struct stat *before, off_t at, const void *data, ssize_t n) {
    if (n <= 0) return;
    if (at + n > before->st_size) took(before->st_size, at + n);
    struct iovec part = {(void *)data, (size_t)n};
    record('W', before->st_ino, (uint64_t)at, &part, 1);
}

static off_t next_write(int fd, const struct stat *st) {
    int flags = fcntl(fd, F_GETFL);
    return flags & O_APPEND ? st->st_size : lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    LOCKED(ssize_t, ours(fd, &st), real_write(fd, data, n), {
        off_t at = next_write(fd, &st);
        result = fails() || no_room(st.st_size, at + (off_t)n) ? -1 : real_write(fd, data, n);
        written(&st, at, data, result);
    })
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    LOCKED(ssize_t, ours(fd, &st), real_pwrite64(fd, data, n, at), {
        result = fails() || no_room(st.st_size, at + (off_t)n) ? -1 : real_pwrite64(fd, data, n, at);
        written(&st, at, data, result);
    })
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite64(fd, data, n, at); }

ssize_t writev(int fd, const struct iovec *parts, int n_parts) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    LOCKED(ssize_t, ours(fd, &st), real_writev(fd, parts, n_parts), {
        /* One part only: a short write is allowed, and one part is recorded whole. */
        int i = 0;
        while (i < n_parts - 1 && !parts[i].iov_len) i++;
        off_t at = next_write(fd, &st);
        off_t end = n_parts ? at + (off_t)parts[i].iov_len : at;
        result = fails() || no_room(st.st_size, end) ? -1 : real_writev(fd, parts + i, n_parts ? 1 : 0);
        if (n_parts) written(&st, at, parts[i].iov_base, result);
    })
}

int ftruncate64(int fd, off64_t len) {
    REAL(int, ftruncate64, int, off64_t);
    LOCKED(int, ours(fd, &st), real_ftruncate64(fd, len), {
        result = fails() || no_room(st.st_size, len) ? -1 : real_ftruncate64(fd, len);
        if (!result) {
            took(st.st_size, len);
            record('T', st.st_ino, (uint64_t)len, NULL, 0);
        }
    })
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int fallocate64(int fd, int mode, off64_t at, off64_t len) {
    REAL(int, fallocate64, int, int, off64_t, off64_t);
    LOCKED(int, ours(fd, &st), real_fallocate64(fd, mode, at, len), {
        if (mode) {
            errno = EOPNOTSUPP;
            result = -1;
        } else {
            result = fails() || no_room(st.st_size, at + len) ? -1 : real_fallocate64(fd, 0, at, len);
            if (!result && at + len > st.st_size) {
                took(st.st_size, at + len);
                record('T', st.st_ino, (uint64_t)(at + len), NULL, 0);
            }
        }
    })
}

int fallocate(int fd, int mode, off_t at, off_t len) { return fallocate64(fd, mode, at, len); }

int posix_fallocate64(int fd, off64_t at, off64_t len) { return fallocate64(fd, 0, at, len) ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t len) { return posix_fallocate64(fd, at, len); }

/* Copies within the kernel are refused for our files: callers then read and write. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    LOCKED(ssize_t, ours(out, &st), real_copy_file_range(in, in_at, out, out_at, n, flags), {
        errno = EXDEV;
        result = -1;
    })
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t n) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    LOCKED(ssize_t, ours(out, &st), real_sendfile64(out, in, at, n), {
        errno = EINVAL;
        result = -1;
    })
}

ssize_t sendfile(int out, int in, off_t *at, size_t n) { return sendfile64(out, in, at, n); }

/* ---- syncing ---- */

static int synced(int fd, int (*real)(int)) {
    struct stat st;
    char path[PATH_MAX];
    if (!recording() || fstat(fd, &st)) return real(fd);
    pthread_mutex_lock(&lock);
    int result = 0;
    if (S_ISDIR(st.st_mode) && !path_of_fd(fd, path) && below(path)) {
        if (fails()) result = -1;
        else if (!lie) record_text('Y', 0, path);
    } else if (S_ISREG(st.st_mode) && *seat(st.st_ino) == st.st_ino) {
        if (fails()) result = -1;
        else if (!lie) record('S', st.st_ino, 0, NULL, 0);
    } else {
        result = real(fd);
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return synced(fd, real_fsync);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return synced(fd, real_fdatasync);
}

static int everything_synced(void) {
    pthread_mutex_lock(&lock);
    int result = fails() ? -1 : 0;
    if (!result && !lie) record('A', 0, 0, NULL, 0);
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

void sync(void) {
    REAL(void, sync, void);
    if (recording()) everything_synced();
    else real_sync();
}

int syncfs(int fd) {
    REAL(int, syncfs, int);
    return recording() ? everything_synced() : real_syncfs(fd);
}

/* ---- names ---- */

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    char a[PATH_MAX], b[PATH_MAX];
    if (!recording()) return real_renameat2(from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result;
    if (path_at(from_at, from, a) || path_at(to_at, to, b) || !below(a) || !below(b)) {
        result = real_renameat2(from_at, from, to_at, to, flags);
    } else {
        struct stat old;
        off_t gone = !lstat(b, &old) && S_ISREG(old.st_mode) && old.st_nlink == 1 ? old.st_size : 0;
        result = fails() ? -1 : real_renameat2(from_at, from, to_at, to, flags);
        if (!result) {
            took(gone, 0);
            struct iovec parts[2] = {{a, strlen(a)}, {b, strlen(b)}};
            record('R', 0, strlen(a), parts, 2);
        }
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

int renameat(int from_at, const char *from, int to_at, const char *to) { return renameat2(from_at, from, to_at, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *name, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char path[PATH_MAX];
    if (!recording()) return real_unlinkat(at, name, flags);
    pthread_mutex_lock(&lock);
    int result;
    if (path_at(at, name, path) || !below(path)) {
        result = real_unlinkat(at, name, flags);
    } else {
        struct stat old;
        off_t gone = !lstat(path, &old) && S_ISREG(old.st_mode) && old.st_nlink == 1 ? old.st_size : 0;
        result = fails() ? -1 : real_unlinkat(at, name, flags);
        if (!result) {
            took(gone, 0);
            record_text('U', 0, path);
        }
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int at, const char *name, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char path[PATH_MAX];
    if (!recording()) return real_mkdirat(at, name, mode);
    pthread_mutex_lock(&lock);
    int result;
    if (path_at(at, name, path) || !below(path)) {
        result = real_mkdirat(at, name, mode);
    } else {
        result = fails() ? -1 : real_mkdirat(at, name, mode);
        if (!result) record_text('D', 0, path);
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* The first name of a nameless file. Other hard links would be a second name for one inode, which powercut.rs does not
   know. */
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char path[PATH_MAX];
    struct stat st;
    if (!recording() || path_at(to_at, to, path) || !below(path)) return real_linkat(from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (fstatat(from_at, from, &st, flags & AT_EMPTY_PATH) || st.st_nlink || *seat(st.st_ino) != st.st_ino) {
        errno = EPERM;
    } else if (!fails()) {
        result = real_linkat(from_at, from, to_at, to, flags);
        if (!result) record_text('L', st.st_ino, path);
    }
    int e = errno;
    pthread_mutex_unlock(&lock);
    errno = e;
    return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
