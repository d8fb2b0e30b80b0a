//! What is written is read back as the same job.

use std::collections::BTreeMap;
use std::time::Duration;

use haul_core::job::*;
use haul_core::pace::{Bandwidth, Rate};
use haul_core::secret::{SecretFrom, SecretSpec};
use proptest::prelude::*;

/// Text with everything that needs care in TOML.
fn text() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-z\"\\\\ \t\n\u{7f}ä🦀'#=\\[\\].|]{0,12}[a-z.]").unwrap()
}

fn name() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-zA-Z_][a-zA-Z0-9_-]{0,8}").unwrap()
}

fn time() -> impl Strategy<Value = Duration> {
    (1u64..100_000_000).prop_map(Duration::from_millis)
}

fn rate() -> impl Strategy<Value = Rate> {
    (1u64..100_000, prop::sample::select(vec![1u64, 5, 60, 3600, 86_400]))
        .prop_map(|(count, secs)| Rate { count, per: Duration::from_secs(secs) })
}

fn concurrency() -> impl Strategy<Value = Concurrency> {
    prop_oneof![
        Just(Concurrency::Auto),
        (1u32..=65_535).prop_map(Concurrency::Fixed),
        (1u32..=400, 401u32..=65_535).prop_map(|(min, max)| Concurrency::Bounded(min, max)),
    ]
}

fn headers() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = prop::string::string_regex("[ -~]{0,8}").unwrap();
    prop::collection::btree_map("X-[A-Z][a-z.!]{0,4}", value, 0..3)
}

fn pages() -> impl Strategy<Value = PagesSpec> {
    let next = prop::option::of(text());
    let paging = prop_oneof![
        (name(), next).prop_map(|(param, next)| Paging::Offset { param, next }),
        name().prop_map(|param| Paging::Page { param }),
        (name(), text()).prop_map(|(param, next)| Paging::Cursor { param, next }),
        text().prop_map(|path| Paging::NextUrl { path }),
        Just(Paging::Link),
    ];
    let size = prop::option::of(
        ("[a-z._ ]{1,6}x", 1..=u64::from(u32::MAX)).prop_map(|(param, count)| PageSize { param, count }),
    );
    let range = prop::option::of((0u64..u64::MAX, 1..1_000_000u64));
    (text(), paging, size, range, text(), any::<bool>()).prop_map(
        |(items, paging, size, range, id, has_id)| {
            let range = range.filter(|_| matches!(paging, Paging::Offset { .. }));
            let range =
                range.map(|(lo, n)| IdRange { lo: lo.min(u64::MAX - n), hi: lo.min(u64::MAX - n) + n });
            PagesSpec { items, paging, size, range, id: Some(id).filter(|_| has_id || range.is_some()) }
        },
    )
}

fn aggregates() -> impl Strategy<Value = Vec<AggregateSpec>> {
    let kind = prop_oneof![
        (text(), 1..=AggregateSpec::N_MAX).prop_map(|(path, n)| AggregateKind::Count { path, n }),
        (text(), text(), 1..=AggregateSpec::N_MAX, any::<bool>())
            .prop_map(|(path, id, n, lowest)| AggregateKind::Top { path, id, n, lowest }),
        text().prop_map(|path| AggregateKind::Stats { path }),
    ];
    prop::collection::vec((name(), kind), 0..4).prop_map(|all| {
        let mut seen = std::collections::BTreeSet::new();
        let all = all.into_iter().filter(|(name, _)| seen.insert(name.clone()));
        all.map(|(name, kind)| AggregateSpec { name, kind }).collect()
    })
}

fn source() -> impl Strategy<Value = SourceSpec> {
    let rows = rows().boxed();
    let paged = (rows.clone(), pages()).prop_map(|(rows, pages)| SourceSpec {
        format: RowFormat::Jsonl,
        location: "{svc}/things?x=1".to_owned(),
        pages: Some(pages),
        header: HeaderMode::Auto,
        columns: Vec::new(),
        each: None,
        ..rows
    });
    prop_oneof![rows, paged]
}

fn rows() -> impl Strategy<Value = SourceSpec> {
    let kind = prop::sample::select(vec!["str", "int", "float", "bool", "json"]);
    let columns = prop::collection::btree_map("[a-z][a-z :]{0,6}[a-z]", kind, 0..4).prop_map(|m| {
        let column =
            |(name, kind): (String, &str)| Column { name, kind: ColumnType::from_word(kind).unwrap() };
        m.into_iter().map(column).collect::<Vec<_>>()
    });
    let changed =
        prop::option::of(prop::sample::select(vec![IfChanged::SkipDone, IfChanged::All, IfChanged::Stop]));
    (
        prop::sample::select(vec![
            RowFormat::Csv,
            RowFormat::Tsv,
            RowFormat::Jsonl,
            RowFormat::Json,
            RowFormat::Urls,
        ]),
        "[a-z./ä\"]{1,10}[a-z]",
        prop::sample::select(vec![HeaderMode::Auto, HeaderMode::Yes, HeaderMode::No]),
        columns,
        prop::option::of("([{][a-z]{1,4}[}],){0,2}[a-z]"),
        any::<bool>(),
        changed,
        prop::option::of(1..=i64::MAX as u64),
    )
        .prop_map(|(format, location, header, columns, key, stop, if_changed, limit)| {
            let rows = matches!(format, RowFormat::Csv | RowFormat::Tsv);
            let each = (format == RowFormat::Json && stop).then(|| ".\"a \\\"b\"[].c[]".to_owned());
            SourceSpec {
                format,
                location,
                pages: None,
                header: if rows { header } else { HeaderMode::Auto },
                columns: if rows { columns } else { Vec::new() },
                each,
                key,
                on_invalid: if stop { OnInvalid::Stop } else { OnInvalid::Skip },
                if_changed,
                limit,
            }
        })
}

fn statuses() -> impl Strategy<Value = Vec<StatusSet>> {
    let one = prop_oneof![(100u16..600).prop_map(StatusSet::One), (1u8..6).prop_map(StatusSet::Class)];
    prop::collection::btree_set(one, 0..4).prop_map(|s| s.into_iter().collect())
}

fn get_step() -> impl Strategy<Value = StepSpec> {
    let actions = vec![OnStatus::Skip, OnStatus::Null, OnStatus::Done, OnStatus::Fail, OnStatus::Retry];
    let action = prop::sample::select(actions);
    let times = (prop::option::of(time()), prop::option::of(time()));
    (name(), prop::option::of(text()), statuses(), statuses(), action, headers(), times).prop_map(
        |(name, take, on, expect, action, headers, (timeout, cache))| StepSpec {
            on: on.into_iter().map(|s| (s, action)).collect(),
            expect,
            headers,
            timeout,
            ..StepSpec::new(name, StepKind::Get { url: "{svc}/a/{id}?q=\"x\"".to_owned(), take, cache })
        },
    )
}

fn batch() -> impl Strategy<Value = BatchSpec> {
    let format = prop::sample::select(vec![BatchFormat::Json, BatchFormat::Ndjson]);
    let linger = (1u64..60_000).prop_map(Duration::from_millis);
    (1u32..4096, prop::option::of(text()), linger, format, prop::option::of(text()))
        .prop_map(|(max, by, linger, format, outcomes)| BatchSpec { max, by, linger, format, outcomes })
}

fn download() -> impl Strategy<Value = StepSpec> {
    let file = (any::<bool>(), text(), prop::option::of(text()));
    let files = prop::collection::vec(file, 1..4);
    (name(), files, any::<bool>(), any::<bool>()).prop_map(|(name, files, named, overwrite)| {
        let many = files.len() > 1;
        let files = files.into_iter().enumerate().map(|(i, (optional, path, checksum))| FileSpec {
            name: (many || optional || named).then(|| format!("f{i}")),
            // A path alone must not look like NAME=PATH.
            path: format!(".{}", path.trim()),
            optional,
            checksum: checksum.map(|c| format!(".{}", c.trim())),
        });
        let files = files.collect();
        let template = named.then(|| "{key}/{name}.{ext}".to_owned());
        let spec = DownloadSpec { files, name: template, to: "content \"x\"".to_owned(), overwrite };
        StepSpec::new(name, StepKind::Download(spec))
    })
}

fn steps() -> impl Strategy<Value = Vec<StepSpec>> {
    let pure = (name(), text(), any::<bool>()).prop_map(|(name, expr, map)| {
        StepSpec::new(name, if map { StepKind::Map { expr } } else { StepKind::Filter { expr } })
    });
    let last = (prop::option::of(text()), any::<bool>(), prop::option::of(batch()), any::<bool>()).prop_map(
        |(body, put, batch, gzip)| {
            StepSpec::new(
                "last",
                StepKind::Post { url: "http://h:1/{id}".to_owned(), body, put, batch, gzip },
            )
        },
    );
    let filter = prop::option::of(text().prop_map(where_step));
    let last = prop_oneof![last, download()];
    (filter, prop::collection::vec(prop_oneof![get_step(), pure], 0..4), prop::option::of(last)).prop_map(
        |(filter, middle, last)| {
            let mut steps: Vec<StepSpec> = filter.into_iter().chain(middle).chain(last).collect();
            let mut seen = std::collections::BTreeSet::new();
            steps.retain(|s| seen.insert(s.name.clone()));
            steps
        },
    )
}

fn output() -> impl Strategy<Value = OutputSpec> {
    let exists = prop::sample::select(vec![IfExists::Refuse, IfExists::Overwrite, IfExists::Append]);
    (any::<bool>(), "[a-z./]{1,8}x", prop::option::of(text()), exists).prop_map(|(csv, path, row, exists)| {
        OutputSpec {
            format: if csv { RowFormat::Csv } else { RowFormat::Jsonl },
            path: format!("out-{path}"),
            row,
            exists,
        }
    })
}

fn limits() -> impl Strategy<Value = LimitsSpec> {
    let bandwidth = (prop::option::of((0u16..720, 720u16..1440)), 1u64..1 << 40)
        .prop_map(|(within, bytes_per_second)| Bandwidth { within, bytes_per_second });
    let bandwidth = prop::collection::vec(bandwidth, 0..3);
    let sizes = ((1u64 << 20)..1 << 44, 1u64..1 << 44, 0u64..1 << 44, bandwidth);
    let goal = (1u32..1000, time()).prop_map(|(permille, within)| Goal { permille, within });
    let pace = (concurrency(), prop::option::of(rate()), prop::option::of(text()), prop::option::of(goal));
    (pace, sizes, [time(), time(), time()]).prop_map(
        |((concurrency, rate, priority, goal), (memory, min_throughput, keep_free, bandwidth), times)| {
            LimitsSpec {
                concurrency,
                rate,
                bandwidth,
                memory,
                timeout: times[0],
                connect_timeout: times[1],
                read_timeout: times[2],
                min_throughput,
                keep_free,
                priority,
                goal,
            }
        },
    )
}

fn secrets() -> impl Strategy<Value = BTreeMap<String, SecretSpec>> {
    let from = prop_oneof![
        "[A-Z_]{1,8}".prop_map(SecretFrom::Env),
        text().prop_map(SecretFrom::File),
        text().prop_map(SecretFrom::Command)
    ];
    let format = prop::sample::select(vec!["{}", "Bearer {}", "a=\"{}\""]);
    let secret = ("X-[a-z]{1,5}", from, format).prop_map(|(header, from, format)| SecretSpec {
        header,
        from,
        format: format.to_owned(),
    });
    prop::collection::btree_map(name(), secret, 0..3)
}

fn job() -> impl Strategy<Value = Job> {
    let replicas = prop::collection::btree_set("https://r[a-z]{1,3}/p", 0..3);
    let service = (prop::option::of(rate()), prop::option::of(concurrency()), headers(), replicas);
    let bound = prop_oneof![
        (0..=i64::MAX as u64).prop_map(MaxFailed::Items),
        (0u32..999).prop_map(|n| MaxFailed::Percent(f64::from(n) / 10.0))
    ];
    let time = || prop::option::of(time());
    let retry = (1u32..=u32::MAX, time(), time(), prop::option::of(bound)).prop_map(
        |(attempts, within, give_up_after, max_failed)| RetrySpec {
            attempts,
            within,
            give_up_after,
            max_failed,
        },
    );
    let store = (prop::option::of("r-[a-z]{1,3}"), prop::option::of("p[a-z ]{0,3}"), any::<Option<bool>>());
    let store = store.prop_map(|(region, profile, path_style)| StoreSpec {
        endpoint: Some("https://s:9".to_owned()),
        region,
        profile,
        path_style,
        ..StoreSpec::default()
    });
    let kinds = [StoreKind::Gcs, StoreKind::Azblob, StoreKind::Webdav];
    let secret = prop::option::of("[a-z]{1,4}".prop_map(SecretFrom::Env));
    let other = (prop::sample::select(kinds.to_vec()), secret, prop::option::of("[a-z]{1,4}"));
    let other = other.prop_map(|(kind, secret, account)| StoreSpec {
        kind,
        endpoint: Some("https://s:9".to_owned()),
        account: account.filter(|_| kind != StoreKind::Gcs),
        secret,
        ..StoreSpec::default()
    });
    let stores = prop::collection::btree_map(name(), prop_oneof![store, other], 0..3);
    let rest = (limits(), any::<bool>(), aggregates(), stores);
    (source(), service, secrets(), steps(), output(), retry, rest).prop_map(
        |(source, (rate, concurrency, headers, replicas), secrets, steps, output, retry, rest)| {
            let (limits, once, aggregates, stores) = rest;
            let auth = secrets.keys().cloned().collect();
            let (url, replicas) = ("https://h:8/p".to_owned(), replicas.into_iter().collect());
            let service = ServiceSpec { url, replicas, rate, concurrency, auth, headers };
            Job {
                verb: "enrich".to_owned(),
                source,
                services: BTreeMap::from([("svc".to_owned(), service)]),
                stores,
                secrets,
                steps,
                aggregates,
                output: Some(output),
                retry,
                limits,
                delivery: if once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_written_job_is_read_back_as_it_was(job in job()) {
        prop_assert_eq!(check(&job), vec![]);
        prop_assert_eq!(&super::read(&write(&job)), &job);
        prop_assert_eq!(crate::job_schema::problems(&write(&job)), Vec::<String>::new());
        let named = Job { verb: "other \"name\"".to_owned(), ..job };
        prop_assert_eq!(&super::read(&write_frozen(&named)), &named);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}", tail in ".{0,40}") {
        let text = format!("haul = 1\n[source]\n{text}\n[[step]]\n{tail}");
        let set = [tail.clone(), text.clone()];
        let _ = parse(&Given { text: &text, name: "x", profile: Some(&tail), set: &set });
    }
}

#[test]
fn a_copy_is_written_as_it_was_read() {
    let text = r#"haul = 1

[source]
keys = "old:pics/a"

[store.new]
type   = "s3"
region = "eu-central-1"

[store.old]
type       = "s3"
endpoint   = "http://h:9"
path_style = false

[[step]]
name = "copy"
copy = "new:pics"
type = ["png", "jpg"]
"#;
    let job = super::read(text);
    assert_eq!(write(&job), text);
    assert_eq!(crate::job_schema::problems(text), Vec::<String>::new());
    let frozen = freeze(&job, std::path::Path::new("/data"));
    assert_eq!(frozen.source.location, "old:pics/a");
    // Whose credentials are used is no part of what is done; where from and where to are.
    let with = |from: &str, to: &str| Identity::of(&super::read(&text.replace(from, to)));
    let same = with("[[step]]", "[store.unused]\ntype = \"s3\"\nregion = \"x\"\n\n[[step]]");
    assert_eq!(same, Identity::of(&job));
    assert_ne!(with("http://h:9", "http://h:8"), same);
    assert_ne!(with("new:pics", "new:pics/b"), same);
}
