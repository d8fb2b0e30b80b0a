//! Rows that are no rows: told with their line, the others are carried on.

use haul_lab::Service;

use crate::enrich::Scene;

#[test]
fn a_bad_row_is_rejected_with_its_line_and_the_rest_is_done() {
    let scene = Scene::new(0);
    scene.place.write(
        "pairs.csv",
        b"user_id,video_id\n1,2\n3,\xff\xfe\n4,5,6\n7\nx,8\n,9\n007,1\n1.5,1\n\"1,2\n10,11\n" as &[u8],
    );
    let said = scene.typed("pairs.csv", &[]).ended(3).ends_with("next: haul errors enrich-pairs-…");
    assert_eq!(said.counts(), [10, 2, 0, 0, 8, 0, 0]);
    let list = scene.place.haul(&["errors", "--list"]).ended(0).out;
    for wanted in [
        "line 3  pairs.csv:3: video_id \"\u{fffd}\u{fffd}\" is not an integer",
        "line 4  pairs.csv:4: 3 columns, expected 2",
        "line 5  pairs.csv:5: 1 column, expected 2",
        "line 6  pairs.csv:6: user_id \"x\" is not an integer",
        "line 7  pairs.csv:7: user_id is empty, not an integer",
        "line 8  pairs.csv:8: user_id \"007\" is an integer with leading zeros (declare the column as str to keep them)",
        "line 9  pairs.csv:9: user_id \"1.5\" is not an integer",
        "line 10  pairs.csv:10: a quote is opened and not closed before the end; going on with the next line",
    ] {
        assert!(list.contains(wanted), "{wanted}\nnot in\n{list}");
    }
    assert_eq!(scene.rows(), 2);
    // Text columns take any text, but only text.
    let said =
        scene.place.haul(&scene.look_up("pairs.csv", &["--fresh", "--overwrite", "--on=4xx=skip"])).ended(3);
    said.told(&["pairs.csv:3: video_id \"\u{fffd}\u{fffd}\" is not UTF-8"]);
}

#[test]
fn the_first_bad_row_stops_a_run_that_shall_stop_and_a_repaired_file_goes_on() {
    let scene = Scene::new(0);
    scene.place.write("pairs.csv", "user_id,video_id\n1,2\n3,4,5\n6,7\n");
    let said = scene.typed("pairs.csv", &["--on-invalid=stop"]).ended(2);
    said.told(&[
        "stopped at bad input: pairs.csv:3: 3 columns, expected 2",
        "next: repair the input, then haul enrich",
    ]);
    scene.place.write("pairs.csv", "user_id,video_id\n1,2\n3,4\n6,7\n");
    scene.typed("pairs.csv", &["--on-invalid=stop"]).ended(0).told(&["read 3 = done 3"]);
    assert_eq!(scene.rows(), 3);
}

#[test]
fn an_input_without_items_says_that_it_has_none() {
    let scene = Scene::new(0);
    for (text, flags) in [
        ("", &[][..]),
        ("user_id,video_id\n", &[]),
        ("\r\n\r\n\n", &[]),
        ("\u{feff}", &[]),
        ("\n \n", &["--jsonl"]),
    ] {
        scene.place.write("in.csv", text);
        let said = scene.place.haul(&scene.look_up("in.csv", &[&["--fresh", "--overwrite"], flags].concat()));
        let said = said.ended(0).told(&["in.csv has no items"]).ends_with("all done");
        assert_eq!(said.counts(), [0; 7], "{text:?}");
    }
    // Standard input that is closed, or that nobody feeds.
    let said = scene.place.haul(&scene.look_up("-", &["--fresh", "--overwrite"]));
    said.ended(0).told(&["standard input has no items"]);
}

#[test]
fn the_wrong_names_for_columns_are_told_before_the_first_request() {
    let scene = Scene::new(0);
    let url = |field: &str| format!("--lookup=user={}/users/{{{field}}}", scene.lab.url(Service::Users));
    let run = |text: &str, args: &[&str]| {
        scene.place.write("in.csv", text);
        let said = scene.place.haul(&[&["enrich", "in.csv", "--to=out.jsonl"], args].concat()).ended(1);
        scene.is_untouched();
        said
    };
    run("user_id,video_id\n1,2\n", &[&url("userid")])
        .told(&["in.csv: a URL names userid, but the columns are user_id, video_id: did you mean user_id?"]);
    run("1,2\n", &[&url("user_id")])
        .told(&["but there is no header, and no name for the 2 columns: --columns user_id,NAME"]);
    run("user_id;video_id\n1;2\n", &[&url("user_id")]).told(&["its fields seem to be separated by ';'"]);
    run("user_id\tvideo_id\n1\t2\n", &[&url("user_id")])
        .told(&["its fields seem to be separated by tabs: --tsv"]);
    run("user_id,user_id\n1,2\n", &["--csv-header=yes", &url("user_id")])
        .told(&["the header names \"user_id\" twice"]);
    run("id,video\n1,2\n", &["--csv-header=yes", "--columns=user_id:int", &url("user_id")])
        .told(&["in.csv:1: the header has no column user_id; it has id, video"]);
    run("user_id,video_id\n1,2\n", &[&url("user_id"), "--row={id: .user_id, video: .vidoe_id}"])
        .told(&["the row names vidoe_id, but the columns are user_id, video_id: did you mean video_id?"]);
    run("user_id,video_id\n1,2\n", &[&url("user_id"), "--where=.vidoe_id == 2"])
        .told(&["where names vidoe_id, but the columns are user_id, video_id: did you mean video_id?"]);
}

#[test]
fn json_that_is_not_an_object_a_line() {
    let scene = Scene::new(0);
    let run = |text: &str| {
        scene.place.write("in.json", text);
        scene.place.haul(&scene.look_up("in.json", &["--fresh", "--overwrite"]))
    };
    let hint = "jq -c '.[]' in.json | haul … - --jsonl";
    // Its last line alone would pass for an object.
    scene.place.write("in.json", "[\n  {\"user_id\": 1},\n  {\"user_id\": 2}\n]\n");
    let said = scene.place.haul(&scene.look_up("in.json", &[]));
    said.ended(1).told(&["in.json is one JSON array over many lines", hint]);
    scene.is_untouched();
    run("[{\"user_id\": 1}, {\"user_id\": 2}]")
        .ended(3)
        .told(&["in.json:1: an array, not an object (one array for all? jq -c '.[]' FILE makes"]);
    run("{\n  \"user_id\": 1\n}\n")
        .ended(3)
        .told(&["in.json:1: not JSON (an object over many lines? jq -c . FILE makes one object a line)"]);
    let said =
        run("{\"user_id\": 1}\n{\"user_id\": 2,}\n\"x\"\n<p>\n{\"user\": 3}\n{\"user_id\": null}\n").ended(3);
    assert_eq!(said.counts(), [6, 1, 0, 2, 3, 0, 0]);
    said.told(&[
        "in.json:2: not JSON: expected a member name in quotes in column 15",
        "in.json:3: a string, not an object",
        "the URL: {user_id} is missing: the record has user",
        "the URL: {user_id} is null",
    ]);
}
