#!/usr/bin/env bash
# Makes the files of this directory anew with tools of Debian 12:
#   apt-get install ffmpeg imagemagick zip p7zip-full sqlite3 pandoc libheif-examples libavif-bin \
#     libjxl-tools wabt woff2 qpdf fonts-dejavu-core bzip2 xz-utils zstd
# and table.parquet with DuckDB (pip install duckdb). They are as small as the tools make them.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tone=(-f lavfi -i "sine=frequency=440:duration=0.05")
film=(-f lavfi -i "color=c=blue:size=16x16:rate=5:duration=0.4")
quiet=(-loglevel error -y -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1)
enc() { ffmpeg "${@:1:$#-1}" "${quiet[@]}" "${@: -1}"; }

enc "${film[@]}" -c:v mpeg4 film.mp4
enc "${film[@]}" -c:v mpeg4 film.mov
enc "${film[@]}" -c:v mpeg4 -movflags +dash film-dash.mp4
enc "${film[@]}" -c:v mpeg4 -f ipod film.m4v
enc "${film[@]}" -c:v h263 -s 128x96 film.3gp
enc "${film[@]}" -c:v libvpx film.webm
enc "${film[@]}" -c:v mpeg4 film.mkv
enc "${film[@]}" -c:v mpeg4 film.avi
enc "${film[@]}" -c:v flv1 film.flv
enc "${film[@]}" -c:v mpeg1video -r 25 -f mpeg film.mpg
enc "${tone[@]}" -c:a aac -b:a 16k tone.m4a
enc "${tone[@]}" -c:a libmp3lame -b:a 16k -ar 16000 tone.mp3
enc "${tone[@]}" -c:a libmp3lame -b:a 16k -ar 16000 -write_id3v2 0 -id3v2_version 0 -write_xing 0 tone-bare.mp3
enc "${tone[@]}" -c:a libvorbis tone.ogg
enc "${tone[@]}" -c:a libopus -b:a 16k tone.opus
enc "${tone[@]}" -c:a flac -ar 8000 tone.flac
enc "${tone[@]}" -ar 8000 tone.wav
enc "${tone[@]}" -ar 8000 tone.aiff
for ext in png jpg gif webp bmp tif psd ico; do
  convert -size 8x8 xc:red -strip "picture.$ext"
done
convert -size 8x8 xc:red -strip "$work/p.png"
cjxl -q 90 "$work/p.png" picture.jxl >/dev/null 2>&1
avifenc --min 20 --max 40 "$work/p.png" picture.avif >/dev/null
convert -size 64x64 xc:red -strip "$work/q.png"
heif-enc "$work/q.png" -o picture.heic >/dev/null
echo 'Some text that is packed.' > "$work/text.txt"
(cd "$work" && zip -qX0 packed.zip text.txt && 7z a -bso0 packed.7z text.txt && tar --mtime=@0 -cf packed.tar text.txt)
cp "$work"/packed.{zip,7z} .
head -c 1536 "$work/packed.tar" > packed.tar
gzip -nc "$work/text.txt" > packed.gz
bzip2 -c "$work/text.txt" > packed.bz2
xz -c "$work/text.txt" > packed.xz
zstd -qc "$work/text.txt" > packed.zst
echo '# Title' > "$work/doc.md"
for ext in docx odt epub; do pandoc -M title=Title "$work/doc.md" -o "document.$ext"; done
qpdf --empty document.pdf
printf '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><path d="M0 0h8v8z"/></svg>\n' > document.svg
echo '{"type": "FeatureCollection", "features": []}' > document.geojson
pandoc -s -M title=Title "$work/doc.md" -t html4 | head -n 12 > document.html
printf 'a,b\n1,2\n' > table.csv
sqlite3 table.sqlite 'PRAGMA page_size=512; CREATE TABLE t (a);'
echo '(module)' > "$work/m.wat"
wat2wasm "$work/m.wat" -o module.wasm
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
head -c 2048 "$font" > font.ttf
cp "$font" "$work/font.ttf" && woff2_compress "$work/font.ttf" 2>/dev/null && head -c 2048 "$work/font.woff2" > font.woff2
"${PYTHON:-python3}" -c "import duckdb; duckdb.sql(\"COPY (SELECT 1 AS a) TO 'table.parquet'\")"
