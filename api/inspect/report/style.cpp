#include "api/inspect/report/style.h"

namespace nacre::html {

// The colours of a matrix bear the page's ink at any strength. Colours of lines are those of Okabe and Ito, which also
// those tell apart who do not see all colours.
std::string_view style() {
  return R"(
:root {
  --page: #f4f5f7; --card: #ffffff; --ink: #1a2230; --soft: #556072; --line: #dde1e8; --grid: #e8ebf0;
  --accent: #0b62a8; --right: 76 156 230; --wrong: 240 130 70; --wrong-ink: #a8380a; --right-ink: #0b62a8;
  --c0: #0072b2; --c1: #d55e00; --c2: #00805c; --c3: #a8588a; --c4: #2c87b8; --c5: #806600;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151c; --card: #1a202b; --ink: #e7eaf0; --soft: #a3adbd; --line: #343d4c; --grid: #2a3240;
    --accent: #7cbcff; --right: 38 98 168; --wrong: 160 70 20; --wrong-ink: #ffa45c; --right-ink: #7cbcff;
    --c0: #5ab4ea; --c1: #ff9248; --c2: #3fc79a; --c3: #e39ac6; --c4: #8fd0f2; --c5: #d3b446;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0 auto; max-width: 76rem; padding: 0 1rem 2rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -99rem; } .hidden { position: absolute; width: 1px; height: 1px; padding: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem 1rem; z-index: 1; }
header { padding: 2.2rem 0 .4rem; }
h1 { font-size: clamp(1.5rem, 4vw, 2.2rem); line-height: 1.2; margin: 0 0 .6rem; overflow-wrap: anywhere; letter-spacing: -.01em; }
.kicker { color: var(--soft); margin: 0 0 .3rem; font-size: .875rem; overflow-wrap: anywhere; }
.result { font-size: 1.125rem; max-width: 48rem; margin: 0 0 1.2rem; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: .75rem; margin: 0; padding: 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .65rem .85rem; min-width: 0; }
.tiles dt { color: var(--soft); font-size: .8125rem; overflow-wrap: anywhere; line-height: 1.3; }
.tiles dd { margin: .15rem 0 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.25; overflow-wrap: anywhere; }
nav { position: sticky; top: 0; background: var(--page); border-bottom: 1px solid var(--line); margin: 1rem 0 0; z-index: 1; }
nav ul { list-style: none; display: flex; gap: 0 1.2rem; overflow-x: auto; margin: 0; padding: .55rem .1rem; white-space: nowrap; font-size: .9375rem; }
nav a { text-decoration: none; display: inline-block; padding: .2rem .1rem; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.1rem clamp(.8rem, 2.5vw, 1.5rem) 1.4rem; margin: 1.2rem 0 0; scroll-margin-top: 3.4rem; min-width: 0; }
h2 { font-size: 1.25rem; margin: 0 0 .7rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: 0 0 .8rem; max-width: 48rem; }
.note { color: var(--soft); font-size: .9375rem; overflow-wrap: anywhere; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem 1.6rem; align-items: start; }
.grid > * { min-width: 0; }
figure { margin: 0; }
figure.chart > svg { display: block; width: 100%; height: auto; max-width: 33rem; }
@media (min-width: 60rem) { figure.chart > svg text { font-size: 9.5px; } figure.chart > svg .line { stroke-width: 1.6; } }
figcaption { font-size: .9375rem; overflow-wrap: anywhere; }
figure.chart > figcaption { display: flex; flex-wrap: wrap; gap: .1rem 1rem; align-items: baseline; margin-bottom: .2rem; }
figure.chart > figcaption b { font-weight: 600; flex-basis: 100%; }
.key { color: var(--soft); font-size: .875rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 1.1em; height: .22em; border-radius: 2px; margin-right: .4em; vertical-align: .28em; background: var(--key); }
.k0 { --key: var(--c0); } .k1 { --key: var(--c1); } .k2 { --key: var(--c2); } .k3 { --key: var(--c3); } .k4 { --key: var(--c4); } .k5 { --key: var(--c5); }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .grid-line { stroke: var(--grid); stroke-width: 1; } svg .axis { stroke: var(--soft); stroke-width: 1; }
svg .line { fill: none; stroke: var(--key); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .dot { fill: var(--key); } svg .point { fill: var(--c0); fill-opacity: .55; } svg .bar { fill: var(--c0); }
svg .ideal { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; } svg .said { stroke: var(--c1); stroke-width: 3; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; color: var(--soft); font-size: .875rem; padding: 0 0 .35rem; }
th, td { text-align: left; padding: .32rem .7rem .32rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; font-size: .8438rem; white-space: nowrap; vertical-align: bottom; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 5.5rem; }
th.n, td.n { text-align: right; padding: .32rem 0 .32rem .9rem; white-space: nowrap; min-width: 0; }
tr.total th, tr.total td { color: var(--soft); }
.properties th { width: 11rem; color: var(--soft); font-weight: 400; padding-right: 1rem; min-width: 7rem; } .properties td { overflow-wrap: anywhere; } .properties code { white-space: pre-wrap; font-size: .875em; }
.meter { display: inline-block; width: 5rem; height: .5em; background: var(--grid); border-radius: .25em; margin-left: .6em; vertical-align: .08em; overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--c0); border-radius: .25em; }
.matrix { width: auto; border-collapse: separate; border-spacing: 2px; font-size: .875rem; }
.matrix th, .matrix td { border: 0; padding: .3rem .45rem; text-align: right; white-space: nowrap; min-width: 0; }
.matrix td { background: rgb(var(--hue) / var(--share)); border-radius: 3px; min-width: 2.3rem; }
.matrix td.r { --hue: var(--right); } .matrix td.w { --hue: var(--wrong); } .matrix td.z { background: var(--grid); color: var(--soft); } .matrix td.corner { background: none; }
.matrix thead th, .matrix tbody th { font-weight: 500; color: var(--ink); font-size: .8438rem; }
.matrix thead th { text-align: center; max-width: 6rem; overflow: hidden; text-overflow: ellipsis; }
.matrix tbody th { max-width: 10rem; overflow: hidden; text-overflow: ellipsis; position: sticky; left: 0; background: var(--card); }
.heat { display: block; width: 100%; height: auto; max-width: 34rem; aspect-ratio: 1; image-rendering: pixelated; border: 1px solid var(--line); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 8.2rem), 1fr)); gap: .9rem; list-style: none; margin: 0; padding: 0; }
.samples.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.samples li { border: 1px solid var(--line); border-radius: .6rem; padding: .6rem; min-width: 0; font-size: .875rem; line-height: 1.4; }
.samples img { display: block; width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; background: var(--grid); border-radius: .3rem; margin-bottom: .45rem; }
.samples img.small { image-rendering: pixelated; }
.samples svg { display: block; width: 100%; height: auto; margin-bottom: .45rem; }
.samples blockquote { margin: 0 0 .45rem; padding-left: .6rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; max-height: 12rem; overflow-y: auto; }
.samples code { display: block; overflow-wrap: anywhere; margin-bottom: .45rem; font-size: .8125rem; }
.samples dl { margin: 0; } .samples dl div { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .6rem; }
.samples dt { color: var(--soft); } .samples dd { margin: 0; overflow-wrap: anywhere; font-weight: 600; text-align: right; }
.samples dd small { font-weight: 400; font-size: .8125rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.wrong { color: var(--wrong-ink); } .right { color: var(--right-ink); }
.where { color: var(--soft); font-size: .8125rem; margin: .3rem 0 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) { .scroll .meter { display: none; } table { font-size: .875rem; } th.n, td.n { padding-left: .5rem; } }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--accent); }
pre { overflow-x: auto; background: var(--page); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; font-size: .8125rem; line-height: 1.45; }
footer { color: var(--soft); font-size: .875rem; margin: 1.5rem 0 0; overflow-wrap: anywhere; }
@media print {
  :root { --page: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; --line: #cccccc; --grid: #e8e8e8; --accent: #0b62a8; --right: 76 156 230; --wrong: 240 130 70; --wrong-ink: #a8380a; --right-ink: #0b62a8; --c0: #0072b2; --c1: #d55e00; }
  body { max-width: none; font-size: 10pt; padding: 0; } nav, .skip { display: none; }
  section { border: 0; padding: 0; margin-top: 1.2rem; } figure, .samples li, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)";
}

}  // namespace nacre::html
