"""The Markdown and the chart of what was measured."""

import os
import platform
from xml.sax.saxutils import escape

# Of bars, first to last contender: readable on white and on black.
COLOURS = ["#d6336c", "#748094", "#a9b3c1", "#c9b458"]
WIDTH, PANEL, GUTTER = 960, 470, 20
LABEL, VALUE = 195, 62
BAR, BAR_STEP, ROW_GAP, HEAD = 9, 11, 10, 46


class Results:
    """Everything that was measured, by contender in the order of `names`."""

    def __init__(self, names, allocators, sizes):
        self.names, self.allocators, self.sizes = names, allocators, sizes
        self.cpu, self.memory, self.idle = {}, {}, None


def machine():
    """The processor, its cores and the kernel."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def ratio(figures):
    """The first figure as a share of the second."""
    return f"{figures[0] / figures[1]:.2f}" if len(figures) > 1 and figures[1] else ""


def markdown(results):
    """The text between README.md's markers."""
    names = results.names
    against = f"Radish / {names[1]}" if len(names) > 1 else ""
    text = "![Memory and processor time, side by side](benches/comparison.svg)\n\n"
    if results.memory or results.idle:
        rows = [[name, *(f"{bytes_:.1f} B" if bytes_ < 1000 else f"{bytes_:,.0f} B" for bytes_ in found), ratio(found)]
                for name, found in results.memory.items()]
        if results.idle:
            rows.append(["idle connection", *(f"{bytes_:,.0f} B" for bytes_ in results.idle), ratio(results.idle)])
        text += f"**Memory for an item** (growth of the process, {results.sizes.items:,} items or {results.sizes.connections:,} connections):\n\n"
        text += table(["data", *names, against], rows) + "\n"
    if results.cpu:
        rows = [
            [name, *(f"{cost:.2f} µs, {rate:,.0f} k/s" for rate, cost in found), ratio([cost for _, cost in found])]
            for name, found in results.cpu.items()
        ]
        text += "**The server's processor time for a request, and requests a second** (the server on one core, 50 clients on another,\n"
        text += "which often are the limit; 64-byte values under 1,000,000 random keys):\n\n"
        text += table(["workload", *names, f"{against}, time" if against else ""], rows) + "\n"
    allocators = ", ".join(f"{name} with {allocator}" for name, allocator in zip(names, results.allocators))
    text += f"Measured in one run by `benches/compare` on: {machine()}; {allocators}. Times are medians of {results.sizes.rounds} turns.\n"
    return text


def write_between_markers(path, marker, text):
    """Puts `text` between the lines `<!-- marker: begin -->` and `<!-- marker: end -->` of a file."""
    begin, end = f"<!-- {marker}: begin -->\n", f"<!-- {marker}: end -->\n"
    before, rest = path.read_text().split(begin)
    _, after = rest.split(end)
    path.write_text(before + begin + text + end + after)


def panel(x, title, rows, unit, names):
    """A column of the chart: for each row its label, and a bar and a figure for each contender. Returns it and its height."""
    parts = [f'<text class="title" x="{x}" y="{HEAD - 14}">{escape(title)}</text>']
    y = HEAD
    room = PANEL - LABEL - VALUE
    for label, figures in rows:
        height = BAR_STEP * len(figures)
        parts.append(f'<text class="label" x="{x + LABEL - 8}" y="{y + height / 2 + 3:.1f}">{escape(label)}</text>')
        longest = max(max(figures), 1e-9)
        for index, figure in enumerate(figures):
            top = y + index * BAR_STEP
            length = max(figure, 0) / longest * room
            shown = f"{figure:,.0f}" if longest >= 100 else f"{figure:.1f}" if longest >= 10 else f"{figure:.2f}"
            parts.append(
                f'<rect x="{x + LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" rx="1.5" fill="{COLOURS[index % len(COLOURS)]}">'
                f"<title>{escape(names[index])}: {shown} {unit}</title></rect>"
            )
            strong = " strong" if index == 0 else ""
            parts.append(f'<text class="value{strong}" x="{x + LABEL + length + 5:.1f}" y="{top + BAR - 1}">{shown} {unit}</text>')
        y += height + ROW_GAP
    return "\n".join(parts), y


def chart(results):
    """An SVG of everything, which needs nothing from outside and adapts to light and dark pages."""
    plain = lambda label: label.replace("`", "")
    memory = [(plain(name), found) for name, found in results.memory.items()]
    if results.idle:
        memory.append(("idle connection", results.idle))
    cpu = [(plain(name), [cost for _, cost in found]) for name, found in results.cpu.items()]
    left, left_height = panel(0, "Memory for an item", memory, "B", results.names)
    right, right_height = panel(PANEL + GUTTER, "Server's processor time for a request", cpu, "µs", results.names)
    height = max(left_height, right_height) + 26
    legend, x = [], 0
    for index, name in enumerate(results.names):
        legend.append(f'<rect x="{x}" y="{height - 18}" width="11" height="11" rx="2" fill="{COLOURS[index % len(COLOURS)]}"/>')
        legend.append(f'<text class="legend" x="{x + 16}" y="{height - 8}">{escape(name)}</text>')
        x += 30 + 7 * len(name)
    legend.append(f'<text class="value" x="{WIDTH}" y="{height - 8}" text-anchor="end">shorter is better; each group has its own scale</text>')
    newline = "\n"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="Memory and processor time of {escape(', '.join(results.names))}">
<style>
text {{ font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 11px; fill: #1f2328; }}
.title {{ font-size: 14px; font-weight: 600; }}
.label {{ text-anchor: end; }}
.value {{ font-size: 9.5px; fill: #59636e; }}
.strong {{ font-weight: 600; fill: #1f2328; }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #e6edf3; }}
  .value {{ fill: #9198a1; }}
  .strong {{ fill: #e6edf3; }}
}}
</style>
{left}
{right}
{newline.join(legend)}
</svg>
"""
