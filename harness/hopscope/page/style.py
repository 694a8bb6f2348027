"""How the page looks: one column that a phone can hold, colours that light, dark and paper share."""

STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--dim:#55606d;--paper:#fff;--card:#f5f7f9;--edge:#d5dbe1;
--good:#0a7d55;--bad:#c4161c;--unsure:#96560a;--link:#0b5cad}
@media screen and (prefers-color-scheme:dark){:root{--ink:#e6ebf1;--dim:#a3aeba;--paper:#14191f;--card:#1c232b;
--edge:#39434e;--good:#4fd6a4;--bad:#ff7b80;--unsure:#ffb45c;--link:#7cc0ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif}
main,header,footer{max-width:72rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.5rem;margin:1.2rem 0 .2rem}h2{font-size:1.25rem;margin:2rem 0 .5rem}
h3{font-size:1.05rem;margin:1.2rem 0 .3rem;overflow-wrap:anywhere}
h4{font-size:1rem;margin:1rem 0 .2rem}
p,ul{margin:.4rem 0}p,h1,h3,main>ul,summary{overflow-wrap:anywhere}a{color:var(--link)}.dim{color:var(--dim)}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.86em;overflow-wrap:anywhere}
.tally{display:flex;flex-wrap:wrap;gap:.6rem;padding:0;list-style:none}
.tally li{border:1px solid var(--edge);border-left:.35rem solid var(--edge);border-radius:.3rem;padding:.3rem .8rem}
.tally b{font-size:1.3rem;margin-right:.4rem}
.PASS{--tone:var(--good)}.FAIL{--tone:var(--bad)}.INCONCLUSIVE{--tone:var(--unsure)}
.SKIPPED,.NOT_APPLICABLE{--tone:var(--dim)}
.tally .PASS,.tally .FAIL,.tally .INCONCLUSIVE,.tally .SKIPPED{border-left-color:var(--tone)}
.word{font-weight:700;color:var(--tone);white-space:nowrap}
article{border:1px solid var(--edge);border-left:.35rem solid var(--tone,var(--edge));border-radius:.3rem;
background:var(--card);padding:.2rem 1rem .8rem;margin:1rem 0}
.wide{overflow-x:auto;margin:.6rem 0}
.wide:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;font-size:.9rem;min-width:30rem}
caption{text-align:left;color:var(--dim);padding:.2rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--edge)}
th{white-space:nowrap}td{overflow-wrap:break-word}td a{overflow-wrap:anywhere}td:has(a){min-width:15rem}
tr.lost td{color:var(--bad);font-weight:700}
details{margin:.5rem 0}summary{cursor:pointer;padding:.15rem 0}
.wide svg{display:block;height:auto;width:100%;min-width:46rem;max-width:69rem}
.plots{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,31rem),1fr))}
.plots .wide{margin:0}.plots svg{max-width:45rem;min-width:30rem}
.path{display:flex;flex-wrap:wrap;gap:.3rem;padding:0;list-style:none}
.path li{border:1px solid var(--edge);border-radius:.3rem;padding:.1rem .5rem;background:var(--paper)}
.path .seen{border-color:var(--good)}.path .gone{border-style:dashed;color:var(--dim)}
.path .here{border:2px dashed var(--bad);color:var(--bad);font-weight:700}
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.4rem}
@media screen and (max-width:40rem){main,header,footer{padding:0 .6rem}article{padding:.2rem .6rem .6rem}
table{min-width:0}.stack thead{display:none}.stack td{display:block;border:0;padding:0 0 .1rem;min-width:0}
.stack tr{display:block;border-bottom:1px solid var(--edge);padding:.3rem 0}.stack ul{padding-left:1.1rem}}
@media print{details>*{display:block}a{color:inherit}article{break-inside:avoid-page;background:none}}
"""
