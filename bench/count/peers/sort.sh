#!/bin/sh
# sort, uniq, sort.
export LC_ALL=C
sort --parallel=2 -S 512M -T "$3" "$1" | uniq -c | sort -k1,1nr -k2,2n -S 64M -T "$3" | head -n "$2" |
    awk '{printf "%s[%s,%s]", (NR > 1 ? "," : "["), $2, $1} END {print "]"}'
