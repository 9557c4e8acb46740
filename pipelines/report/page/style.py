"""How the page looks: light and dark, wide and narrow, on paper; no colour says anything alone."""

__all__ = ["CSS"]

# Contrast of text is 7:1 or more in both schemes, of lines and marks 3:1 (WCAG 2.2).
CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1d21; --soft: #4a4f57;
  --rule: #767c85; --faint: #d9dce1; --panel: #f3f4f6; --mark: #005a9c; --mark-rgb: 0 114 178;
  --second: #9a3d00; --link: #004a80; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #eceef1; --soft: #bcc2ca;
  --rule: #8a919b; --faint: #3a3f46; --panel: #202327; --mark: #6db8f0; --mark-rgb: 62 140 200;
  --second: #f2a65a; --link: #9ccbf5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 1rem 3rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 .5rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; padding-top: .7rem;
  border-top: 2px solid var(--faint); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p, ul, ol { max-width: 44rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; padding: .5rem; background: var(--paper); z-index: 1; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; }
nav a { display: inline-block; padding: .25rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 1rem 0; }
.facts > div { background: var(--panel); border-radius: .5rem; padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .9rem; }
.facts dd { margin: 0; font-size: 1.45rem; font-weight: 650; line-height: 1.3; }
.facts small { display: block; font-size: .85rem; font-weight: 400; color: var(--soft); }
.note, .missing { background: var(--panel); border-left: 4px solid var(--rule);
  padding: .6rem .9rem; max-width: 44rem; }
pre { background: var(--panel); padding: .7rem .9rem; overflow-x: auto; max-width: 100%; }
code { font-family: ui-monospace, Consolas, "Liberation Mono", monospace; font-size: .92em; }
.scroll { overflow-x: auto; margin: 1rem 0; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 650; padding-bottom: .4rem; }
caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
.short { white-space: nowrap; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--faint); text-align: right;
  vertical-align: middle; overflow-wrap: normal; }
.wide td { white-space: nowrap; }
th:first-child, td.words { text-align: left; }
tbody th { font-weight: 500; max-width: 14rem; overflow-wrap: break-word; }
thead th { color: var(--soft); font-size: .88rem; vertical-align: bottom; }
.wide { width: 100%; max-width: 48rem; }
.matrix th, .matrix td { padding: .3rem .35rem; border: 1px solid var(--faint); font-size: .88rem; }
.matrix thead th { text-align: left; }
.matrix thead th span { writing-mode: vertical-rl; max-height: 9rem; overflow: hidden; }
.matrix td { min-width: 2.3rem; background: rgb(var(--mark-rgb) / var(--share)); }
.matrix td.own { outline: 2px solid var(--rule); outline-offset: -2px; font-weight: 650; }
.matrix th[scope=row] { position: sticky; left: 0; background: var(--paper); }
.plain { width: 100%; max-width: 48rem; table-layout: fixed; }
.plain th:first-child { width: 34%; }
.plain th, .plain td { text-align: left; vertical-align: top; overflow-wrap: anywhere; }
.swatch { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--rule);
  margin-right: .45em; vertical-align: -.08em; border-radius: 2px; forced-color-adjust: none; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem;
  max-width: none; }
svg.inline { width: 8rem; min-width: 5rem; height: 1rem; display: block; }
svg.chart { width: 100%; max-width: 30rem; height: auto; display: block; }
svg text { font-size: 11px; fill: var(--ink); }
.track { fill: var(--faint); } .bar { fill: var(--mark); }
.whisker { stroke: var(--ink); stroke-width: 1.5; fill: none; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--faint); } .axis { stroke: var(--rule); }
.line { fill: none; stroke-width: 1.8; } .ideal { stroke: var(--rule); stroke-dasharray: 4 4; }
.first { stroke: var(--mark); } .second { stroke: var(--second); stroke-dasharray: 7 3; }
.dot { fill: var(--mark); } .square { fill: var(--second); }
article { margin: .6rem 0 1.2rem; min-width: 0; }
h4 { font-size: 1rem; margin: .6rem 0 .2rem; }
article p { margin: .2rem 0 .6rem; }
.cards { display: grid; gap: .5rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(29rem, 100%), 1fr)); }
.cards.small { grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
.pictures { display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fill, minmax(8.4rem, 1fr)); }
figure { margin: 0; }
img { width: 100%; height: auto; display: block; background: var(--panel); border-radius: 3px;
  image-rendering: auto; }
figcaption { font-size: .88rem; color: var(--soft); padding-top: .2rem; }
footer { margin-top: 3rem; color: var(--soft); font-size: .9rem; }
@media (max-width: 30rem) { th, td { padding: .3rem .35rem; } h1 { font-size: 1.4rem; }
  .wide { font-size: .9rem; } svg.inline { width: 4.5rem; min-width: 4.5rem; } }
@media print { nav, .skip { display: none; } article, figure, tr { break-inside: avoid; } }
"""
