//! What the manual shows is true.

use crate::program::Place;

const JOB_FILE: &str = include_str!("../../../../docs/src/reference/job-file.md");
const COMMANDS: &str = include_str!("../../../../docs/src/reference/commands.md");

#[test]
fn the_job_file_of_the_manual_is_read() {
    let text = JOB_FILE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let place = Place::new();
    place.write("manual.toml", text);
    place.haul(&["plan", "manual.toml"]).ended(0);
    place.haul(&["plan", "manual.toml", "--profile", "production"]).ended(0);
    // Every key there is stands in it.
    for (table, at) in [("", "x = 1\n"), ("[source]", "[source]\nx = 1\n"), ("[limits]", "[limits]\nx = 1\n")]
    {
        place.write("bad.toml", format!("haul = 1\n{at}"));
        let err = place.haul(&["plan", "bad.toml"]).ended(64).err;
        let inside = if table.is_empty() { String::new() } else { format!(" in {table}") };
        let known = err.split(&format!("known keys{inside}: ")).nth(1).unwrap().lines().next().unwrap();
        for key in known.split(", ").filter(|k| !["haul", "name", "tsv", "jsonl", "json", "urls"].contains(k))
        {
            assert!(
                text.contains(&format!("{key} "))
                    || text.contains(&format!("[{key}"))
                    || text.contains(&format!("[[{key}")),
                "{key}"
            );
        }
    }
}

#[test]
fn every_verb_is_in_the_manual() {
    let overview = Place::new().haul::<&str>(&[]).out;
    for line in
        overview.lines().filter(|l| l.len() > 18 && !l.starts_with("  haul") && l[..9].trim().len() < 9)
    {
        let (group, rest) = line.split_at(9);
        let listed = ["Work", "Before", "During", "After", "Else", ""].contains(&group.trim());
        let Some(verb) = rest.split_whitespace().next().filter(|_| listed && !rest.starts_with(' ')) else {
            continue;
        };
        assert!(COMMANDS.contains(&format!("`haul {verb}")), "{verb} is missing");
    }
}
