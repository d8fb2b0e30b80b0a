#!/bin/sh
# Miller: a line as one field, taken apart in its language. The function that reads JSON has had two names.
parse=json_decode
mlr help list-functions | grep -qx json_decode || parse=json_parse
mlr --inidx --ifs '\001' --ojson put "
    record = asserting_map($parse(sub(\$1, \"^[^:]*:\", \"\")));
    \$score = int(sub(\$1, \":.*\", \"\"));
    \$id = record[\"id\"]" then top -n "$2" -f score -a then cut -o -f score,id "$1"
