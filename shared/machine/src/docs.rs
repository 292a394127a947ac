//! The table of pipelines in the README.

use pipelines::Pipeline;

/// As Markdown.
pub fn table(pipelines: &[Pipeline]) -> String {
    let mut rows = vec![
        "| pipeline | steps | taken back by |".to_string(),
        "|---|---|---|".to_string(),
    ];
    for pipeline in pipelines {
        let steps: Vec<String> = (1..)
            .zip(&pipeline.steps)
            .map(|(number, step)| {
                let mark = if step.commits { " **C**" } else { "" };
                format!("{number}. {}{mark}", step.title())
            })
            .collect();
        let undos: Vec<&str> = pipeline
            .steps
            .iter()
            .rev()
            .filter_map(|step| step.undo_name())
            .collect();
        let undos = if undos.is_empty() {
            "changes nothing".to_string()
        } else {
            format!("`{}`", undos.join("`, `"))
        };
        rows.push(format!(
            "| `{}` | {} | {undos} |",
            pipeline.name,
            steps.join(" ")
        ));
    }
    rows.join("\n") + "\n"
}
