"""Which of the paper's findings come back on the emoji world: one line for each, from the tables.

    clipseg-hf reproduce emoji --seeds 0,1,2 -o benchmarks/reproduction
    python benchmarks/findings.py

reads `benchmarks/reproduction/results.json` and writes the table of `benchmarks/reproduction/FINDINGS.md`.
"""

from pathlib import Path

from reporting import put_table

from clipseg_hf.reproduction.reproduction_report import OTHER, SAME, UNCERTAIN, read_results

HERE = Path(__file__).parent / "reproduction"
VERDICTS = {SAME: "comes back", OTHER: "is reversed", UNCERTAIN: "cannot be told"}
FINDINGS = (  # what the paper's numbers say; table, row (against the table's reference), column
    ("By text, training without examples and negatives (PC) is better", "referring", "CLIPSeg (PC)", "mIoU"),
    ("... also by IoU FG", "referring", "CLIPSeg (PC)", "IoU FG"),
    ("... also by AP", "referring", "CLIPSeg (PC)", "AP"),
    ("Unseen classes are segmented better than seen ones", "zero-shot", "unseen classes", "mIoU"),
    ("By one example, PC is worse than PC+", "one-shot", "CLIPSeg (PC), example", "mIoU"),
    ("The class's name is better than one example: mIoU", "one-shot", "CLIPSeg (PC+), text", "mIoU"),
    ("... AP", "one-shot", "CLIPSeg (PC+), text", "AP"),
    ("Attributes are harder than affordances: mIoU", "generalized", "attributes", "mIoU"),
    ("... AP", "generalized", "attributes", "AP"),
    ("Parts are harder than affordances: mIoU", "generalized", "parts", "mIoU"),
    ("... AP", "generalized", "parts", "AP"),
    ("Without CLIP's pre-training little works: text, mIoU", "ablation", "no CLIP pre-training", "text mIoU"),
    ("... example, mIoU", "ablation", "no CLIP pre-training", "example mIoU"),
    ("Without visual prompts in training, texts get better: mIoU", "ablation", "no visual", "text mIoU"),
    ("... AP", "ablation", "no visual", "text AP"),
    ("... and examples much worse: mIoU", "ablation", "no visual", "example mIoU"),
    ("... AP", "ablation", "no visual", "example AP"),
    ("D = 16 is worse: text, mIoU", "ablation", "D = 16", "text mIoU"),
    ("... text, AP", "ablation", "D = 16", "text AP"),
    ("... example, mIoU", "ablation", "D = 16", "example mIoU"),
    ("... example, AP", "ablation", "D = 16", "example AP"),
    ("One layer is worse than three: text, mIoU", "ablation", "only layer 3", "text mIoU"),
    ("... text, AP", "ablation", "only layer 3", "text AP"),
    ("... example, mIoU", "ablation", "only layer 3", "example mIoU"),
    ("... example, AP", "ablation", "only layer 3", "example AP"),
    ("A highlight in place of a crop harms examples: mIoU", "ablation", "highlight mask", "example mIoU"),
    ("... AP", "ablation", "highlight mask", "example AP"),
    ("Crop, blur and dark background beat: a crop alone", "visual-prompts", "crop", "gain"),
    ("... a dark background alone", "visual-prompts", "background 10 %", "gain"),
    ("... blur alone", "visual-prompts", "blur", "gain"),
    ("... a black background, by a hair", "visual-prompts", "background 0 %", "gain"),
    ("... a red outline", "visual-prompts", "red outline", "gain"),
    ("... a mask inside of CLIP (CLS token, all layers)", "visual-prompts", "CLIP mask, CLS token, all layers", "gain"),
)


def main() -> None:
    tables = read_results(HERE)["tables"]
    lines = ["| the paper | there | here, with 95 % interval | |", "| --- | ---: | :---: | --- |"]
    for finding, name, title, column_title in FINDINGS:
        table = tables[name]
        number, column = [row["title"] for row in table["rows"]].index(title), table["columns"].index(column_title)
        published = [table["rows"][n]["published"][column] for n in (table["reference"], number)]
        here = "{:+.1f} ({:+.1f} … {:+.1f})".format(*table["differences"][number][column])
        verdict = VERDICTS[table["marks"][number][column]]
        lines.append(f"| {finding} | {published[1] - published[0]:+.1f} | {here} | {verdict} |")
    put_table("findings", "\n".join(lines), HERE / "FINDINGS.md")


if __name__ == "__main__":
    main()
