#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The page of sft-report in a browser without a window: it is read without errors, has its charts,
# tables and texts, fits a narrow screen, and can be read in light and in dark colours.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70
for browser in chromium-headless-shell chromium chromium-browser google-chrome; do
    ! command -v $browser >/dev/null || break
    browser=
done
if [ -z "$browser" ]; then
    skip 'browser: it shows the page' 'none is installed'
    exit $bad
fi
# browse SCHEME URL OPTION...: prints the page's document after it was loaded; SCHEME: 0 dark,
# 1 light
browse() {
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars \
        --user-data-dir="$T/profile" --blink-settings=preferredColorScheme="$1" \
        --enable-logging=stderr --virtual-time-budget=10000 "${@:3}" --dump-dom "$2" 2>stderr
}

# ---- a page with all that there is, of which the texts are hostile ----
mkdir a b
for run in a b; do
    sft-config -q "$root/examples/smollm2-135M-sft/sft_config.yaml" seed=${#run} >$run/config.yaml
    jq -nc 'range(1; 40) as $k | {"system/step": $k, "sft_train/loss": (9 / $k),
        "sft_train/val_loss": (10 / $k), "sft_train/lr": 1e-3, "sft_train/tokens_per_s": 1e5,
        "sft_train/grad_norm": $k, "time/step_train": 2, "time/forward": 1}' >$run/metrics.jsonl
    jq -nc '(0, 9) as $k | {step: $k, row: 0, prompt: ("<b onclick=run()>" + "long" * 200),
        answer: "</pre><script>pwned = 1</script><img src=x onerror=\"pwned = 1\">\($k)",
        answer_tokens: 5, answer_end: "stop"}' >$run/samples.jsonl
done
name="very-long-name-of-a-run-$(printf 'x%.0s' $(seq 80))"
mv b "$name"
jq -nc '{source: [0, 0], label_tokens: 3, loss: 2}' >losses.jsonl
jq -nc '{text: ("</table>" + "w" * 300)}' >data.jsonl
check 'page: it is written' sft-report a "$name" --rows losses.jsonl --data data.jsonl -o page.html

# ---- errors ----
echo '<script>console.error("wrong")</script>' >wrong.html
browse 1 "file://$T/wrong.html" >/dev/null
check 'errors: one of a page is found' grep -q CONSOLE stderr
browse 1 "file://$T/page.html" >dom.html
check 'errors: the page is loaded whole' grep -q 'Written by sft-report' dom.html
equal 'errors: it has none' "$(grep -c CONSOLE stderr)" 0

# ---- what it shows, in frames of two widths ----
# A frame shows the page and is measured by the document around it.
{
    echo '<!DOCTYPE html><meta charset=utf-8><style>:root { color-scheme: light dark }</style>'
    echo '<body><script>'
    printf 'const page = %s;\n' "$(jq -Rs . page.html | sed 's|</|<\\/|g; s|<!|<\\!|g')"
    cat <<'END'
const frames = [390, 1280].map(width => {
    const f = document.createElement("iframe");
    f.style = `width: ${width}px; height: 800px; border: 0`;
    f.srcdoc = page;
    document.body.append(f);
    return f;
});
const light = c => c.match(/\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765;
onload = () => {
    const seen = frames.map(f => {
        const d = f.contentDocument, all = s => [...d.querySelectorAll(s)], style = e =>
            f.contentWindow.getComputedStyle(e);
        const size = e => e.getBoundingClientRect();
        return {
            width: d.documentElement.clientWidth,
            needs: d.documentElement.scrollWidth,
            charts: all("svg").filter(e => size(e).width > 200 && size(e).height > 50).length,
            curves: all("polyline").filter(e => size(e).width > 100).length,
            columns: new Set(all("figure").map(e => Math.round(size(e).left))).size,
            tables: all("table").filter(e => size(e).height > 0).length,
            titles: all("h2").map(e => e.textContent),
            answers: all("pre").filter(e => e.textContent.startsWith("</pre><script>")).length,
            markup: all("script, img, b, pre *").length + (f.contentWindow.pwned ? 1 : 0),
            paper: light(style(d.body).backgroundColor),
            ink: light(style(d.body).color),
            curve: style(d.querySelector("polyline")).stroke,
        };
    });
    document.body.innerHTML = "";
    document.title = btoa(JSON.stringify(seen));
};
</script>
END
} >frames.html
# seen SCHEME: prints what the frames show
seen() {
    browse "$1" "file://$T/frames.html" | sed -n 's|.*<title>\(.*\)</title>.*|\1|p' | base64 -d
}
seen 1 >light.json
seen 0 >dark.json
# holds NAME FILTER [FILE]: the filter of jq is true for what both frames show
holds() { check "$1" jq -e "length == 2 and all(.[]; $2)" "${3:-light.json}"; }
equal 'frames: they have their widths' "$(jq -c 'map(.width)' light.json)" '[390,1280]'
holds 'narrow: nothing is wider than the screen' '.needs <= .width'
holds 'charts: each is drawn' '.charts == 5 and .curves == 12'
equal 'charts: a narrow screen has one column, a wide one more' \
    "$(jq -c 'map(.columns > 1)' light.json)" '[false,true]'
holds 'tables: each is there' '.tables == 6'
holds 'sections: each has its title' '.titles == ["Course", "Where the time of the steps went",
    "Answers", "Rows with the largest losses", "Settings that differ", "Settings"]'
holds 'texts: answers are shown as they are' '.answers == 4'
holds 'texts: none of them is markup, or runs' '.markup == 0'
holds 'light: the paper is light and the ink dark' '.paper > 0.9 and .ink < 0.2'
holds 'dark: the paper is dark and the ink light' '.paper < 0.2 and .ink > 0.8' dark.json
check 'dark: curves have other colours' jq -ne --slurpfile a light.json --slurpfile b dark.json \
    '$a[0][0].curve != $b[0][0].curve'
holds 'dark: it fits as well' '.needs <= .width and .charts == 5' dark.json
exit $bad
