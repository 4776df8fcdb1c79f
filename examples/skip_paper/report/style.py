"""The look of the report, at the width of a desk and of a telephone."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem; color: #1a1a1a; }
h1 { font-size: 1.7rem; line-height: 1.2; margin-bottom: .3rem; }
h2 { margin-top: 2.6rem; border-top: 1px solid #ccc; padding-top: 1rem; }
h3 { margin-top: 2rem; } h4 { margin: 1rem 0 .3rem; color: #444; }
img { max-width: 100%; height: auto; } .scroll { overflow-x: auto; } small { color: #555; }
table { border-collapse: collapse; font-size: .88rem; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
table.verdicts { min-width: 52rem; } table.verdicts td:first-child { width: 34%; }
td.number { font-variant-numeric: tabular-nums; }
.about, .caption, .legend { font-size: .9rem; color: #444; }
.answer { font-size: 1.1rem; border-left: 4px solid #1f5fd0; padding-left: 1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(34rem, 100%), 1fr)); gap: 1rem; }
.card { border: 1px solid #ddd; border-radius: .5rem; padding: .3rem 1rem .8rem; }
.card h3 { margin: .6rem 0 .2rem; font-size: 1.05rem; } .card p { margin: .2rem 0 .5rem; }
.marks td { padding: .2rem .4rem; font-size: .85rem; } .marks td:first-child { width: 58%; }
.marks td:last-child { width: 6.5rem; } summary { cursor: pointer; font-size: .85rem; color: #1f5fd0; }
.strip { width: 100%; max-width: 48rem; height: auto; display: block; }
.chip { border-radius: 1rem; padding: .05rem .6rem; font-size: .8rem; font-weight: 600; white-space: nowrap;
  border: 1px solid currentColor; }
.reproduced, .holds { color: #1b7a1b; font-weight: 600; } .contradicted, .fails { color: #b0126e; font-weight: 600; }
.absent { color: #a85b00; font-weight: 600; } .mixed, .holds-in-part { color: #5b3fa8; font-weight: 600; }
.undecided, .open, .not-run { color: #666; } .verdicts small { font-weight: 400; }
nav a { margin-right: .9rem; white-space: nowrap; } dt { margin-top: .8rem; } q { quotes: "“" "”"; }
.warning { background: #fff3cd; border-left: 4px solid #d8a000; padding: .5rem 1rem; }
@media (max-width: 40rem) {
  body { padding: .6rem; } h1 { font-size: 1.35rem; }
  table.verdicts { min-width: 0; } table.verdicts, .verdicts tbody, .verdicts tr, .verdicts td { display: block; }
  .verdicts tr:first-child { display: none; } table.verdicts td:first-child { width: auto; }
  .verdicts tr { border-bottom: 2px solid #ccc; padding: .5rem 0; } .verdicts td { border: 0; padding: .1rem 0; }
  .marks svg { width: 60px; } .marks td:first-child { width: 62%; } .marks td:last-child { width: 4.5rem; }
}
"""
