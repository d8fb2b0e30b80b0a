#!/bin/sh
# jq: a line at a time, keeping the best.
exec jq -c -R -n --argjson n "$2" '
    reduce (inputs | select(length > 0) | index(":") as $c | {score: .[:$c] | tonumber, id: .[$c + 1:] | fromjson | .id}) as $e
        ({best: [], bar: -infinite};
         if $e.score > .bar or (.best | length) < $n
         then .best = ((.best + [$e]) | sort_by(-.score) | .[:$n]) | .bar = (if (.best | length) == $n then .best[-1].score else -infinite end)
         else . end)
    | .best' "$1"
