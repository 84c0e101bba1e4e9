#!/usr/bin/env python3
"""`nacre report` in a real browser: pictures load, nothing overflows, nothing is asked of the network, all of it can be read.

Skipped (77) without nacre or Chromium ($NACRE_CHROMIUM, else `chromium`). With a folder as argument the pages and what they
look like are left there.
"""
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import browser  # noqa: E402

WIDTHS = (360, 1280)
HOSTILE = ["<script>document.title='no'<!--", "\"><img src=x onerror=alert(1)>", "'&amp;"]

DIGITS = """name: digits <b>&amp;</b>
model:
  sequential:
    - Input: {shape: [28, 28, 1]}
    - Rescaling: {scale: "${1/255}"}
    - Conv2D: {filters: 4, kernel_size: 3, strides: 2, activation: relu}
    - Flatten
    - Dense: {units: 10, activation: softmax}
data: {train: {digits: {count: 400}}, test: {digits: {count: 200, seed: 9}}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 2}
"""
PICTURES = """name: pictures
model:
  sequential:
    - Input: {shape: [6, 8, 3]}
    - Rescaling: {scale: "${1/255}"}
    - Flatten
    - Dense: {units: 3}
data: {train: {images: {folder: pictures}}}
train: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [accuracy], epochs: 1}
"""
NUMBERS = """name: numbers
model: {sequential: [Input: {shape: [3]}, Dense: {units: 1}]}
data: {train: {csv: {file: numbers.csv, target: y}}}
train: {optimizer: sgd, loss: mse, metrics: [mae], epochs: 2, validation_split: 0.25}
"""
TEXTS = """name: texts
model:
  sequential:
    - Input: {shape: [], dtype: string}
    - TextVectorization: {output_mode: multi_hot, max_tokens: 50, pad_to_max_tokens: true}
    - Dense: {units: 1, activation: sigmoid}
data: {train: {csv: {file: texts.csv, target: good, text: [text]}}}
train: {optimizer: adam, loss: binary_crossentropy, metrics: [accuracy], epochs: 2}
"""
SEVERAL = """name: several
model:
  inputs: {x: {shape: [4]}}
  layers:
    - Dense: {units: 12, activation: softmax, name: kind, from: x}
    - Dense: {units: 2, name: size, from: x}
    - Dense: {units: 3, activation: sigmoid, name: tags, from: x}
  outputs: [kind, size, tags]
data: {train: {npy: {x: x.npy, y: [kind.npy, size.npy, tags.npy]}}}
train: {optimizer: adam, loss: {kind: sparse_categorical_crossentropy, size: mse, tags: binary_crossentropy}, epochs: 2}
"""

# Of what stands on the page: what cannot be read against what lies behind it (WCAG 2.1, 1.4.3), as a list of texts.
CONTRAST = """(() => {
  const parse = c => { const n = c.match(/[\\d.]+/g).map(Number); return c.includes('srgb') ? [n[0]*255, n[1]*255, n[2]*255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126*r + 0.7152*g + 0.0722*b; };
  const behind = e => { const layers = []; for (; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor)); return layers.reduce((b, a) => over(a, b), [255, 255, 255, 1]); };
  const weak = new Set();
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || ['TITLE', 'title'].includes(e.tagName) || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), back = behind(e), ink = over(parse(e instanceof SVGElement ? style.fill : style.color), back);
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) weak.add(e.tagName + '.' + (e.className.baseVal ?? e.className) + ' ' + e.textContent.slice(0, 30) + ' ' + ((high + 0.05) / (low + 0.05)).toFixed(2));
  }
  return [...weak];
})()"""

CHECKS = {
    "pictures that did not load": "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)",
    "pictures without words": "[...document.querySelectorAll('img, svg')].filter(i => !(i.alt || i.ariaLabel)).map(i => i.outerHTML.slice(0, 80))",
    "headers without a scope": "[...document.querySelectorAll('th')].filter(t => !t.scope).map(t => t.textContent)",
    "tables without a caption": "[...document.querySelectorAll('table')].filter(t => !t.caption).map(t => t.textContent.slice(0, 40))",
    "ids that are there twice": "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) != i)",
    "links that lead nowhere": "[...document.querySelectorAll('a')].filter(a => !document.querySelector(a.getAttribute('href'))).map(a => a.href)",
    "scripts, frames or forms": "[...document.querySelectorAll('script, iframe, object, form, video')].map(e => e.outerHTML.slice(0, 80))",
    "handlers": "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).map(e => e.outerHTML.slice(0, 80))",
    "regions that scroll but not by keyboard": "[...document.querySelectorAll('.scroll, pre')].filter(e => e.tabIndex < 0).map(e => e.className)",
    "what is wider than the page": "document.documentElement.scrollWidth > innerWidth ? [...document.querySelectorAll('body *')].filter(e => "
                                   "e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, nav, pre')).map(e => e.outerHTML.slice(0, 80)) : []",
    "too little contrast": CONTRAST,
}


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def png(width, height, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(colour) * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def npy(kind, shape, values):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(values)}{'f' if kind == '<f4' else 'i'}", *values)


def make_data(folder):
    for number, name in enumerate(HOSTILE):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(3):
            (folder / "pictures" / name / f"<i>{i}.png").write_bytes(png(8, 6, (80 * number + 20 * i, 60, 200 - 80 * number)))
    (folder / "numbers.csv").write_text("a,b,c,y\n" + "".join(f"{i % 7},{i % 5},{i % 3},{i % 7 * 1.5 - i % 5 + 0.1}\n" for i in range(80)))
    (folder / "texts.csv").write_text("text,good\n" + "".join(f"\"{'good' if i % 2 else '<u>bad</u>'} story {'word ' * (i * 3)}\",{i % 2}\n" for i in range(40)))
    (folder / "x.npy").write_bytes(npy("<f4", (60, 4), [(i * 7 % 13) / 13 for i in range(240)]))
    (folder / "kind.npy").write_bytes(npy("<i4", (60,), [i % 12 for i in range(60)]))
    (folder / "size.npy").write_bytes(npy("<f4", (60, 2), [(i * 3 % 11) / 11 for i in range(120)]))
    (folder / "tags.npy").write_bytes(npy("<f4", (60, 3), [float(i % 3 == 0) for i in range(180)]))


def main():
    nacre, program = os.environ.get("NACRE_BINARY"), browser.find()
    if not nacre or not Path(nacre).exists():
        skip("nacre is not built")
    if not program:
        skip("no Chromium: apt-get install chromium")
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        make_data(folder)
        shown = browser.Browser(program)
        for name, config in {"digits": DIGITS, "pictures": PICTURES, "numbers": NUMBERS, "texts": TEXTS, "several": SEVERAL}.items():
            (folder / f"{name}.yaml").write_text(config)
            for words in (["train", f"{name}.yaml", "--output", f"runs/{name}"], ["report", f"runs/{name}"]):
                done = subprocess.run([nacre, *words], cwd=folder, capture_output=True, text=True)
                if done.returncode != 0:
                    wrong.append(f"{name}: {' '.join(words)}: {done.stderr}")
            page = folder / "runs" / name / "report.html"
            if not page.exists():
                continue
            for width in WIDTHS:
                for dark in (False, True):
                    shown.open(page, width, dark)
                    where = f"{name}, {width} pixels, {'dark' if dark else 'light'}"
                    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                    for what, expression in CHECKS.items():
                        found = shown.evaluate(expression)
                        if found:
                            wrong.append(f"{where}: {what}: {found}")
                    wrong += [f"{where}: {line}" for line in shown.complaints()]
                    if len(sys.argv) > 1:
                        shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
                        shown.screenshot(folder / f"{name}-{width}{'-dark' if dark else ''}.png")
            if not shown.evaluate("document.title").endswith(" · nacre report"):
                wrong.append(f"{name}: the title is {shown.evaluate('document.title')}")
        shown.open(folder / "runs" / "pictures" / "report.html", 1280)
        text = shown.evaluate("document.body.innerText")
        wrong += [f"the class {label} is not shown as it is called" for label in HOSTILE if label not in text]
        wrong += ["the file's name is not shown"] if "<i>0.png" not in text else []
        shown.close()
    print("\n".join(wrong) or "ok: 5 pages, 20 views")
    sys.exit(1 if wrong else 0)


main()
