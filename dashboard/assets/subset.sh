#!/bin/sh
# Cuts DejaVu Sans down to what the plots draw. Usage: subset.sh FOLDER_OF_DEJAVU OUTPUT_FOLDER
# Glyphs that DejaVu took from Arev, which have a licence of their own, are left out.
set -eu
letters="U+0020-007E,U+00A0-017F,U+0192,U+01A0-01A1,U+01AF-01B0,U+0218-021B,U+02C6-02C7,U+02C9,U+02D8-02DD,U+0370-03E1,U+03F0-03FF,U+0400-045F,U+0490-0491,U+1E80-1E85,U+1EA0-1EF9"
symbols="U+2010-2027,U+2030-203A,U+2044,U+2070-209C,U+20AC,U+2116,U+2122,U+2126,U+2190-2199,U+21D0-21D4,U+2200-2265,U+2300-2302,U+25A0-25CF,U+FFFD"
cut() {
    pyftsubset "$1/$2" --unicodes="$4" --layout-features='' --drop-tables+=MATH,GPOS,GSUB,GDEF,FFTM,gasp \
        --no-hinting --notdef-outline --name-IDs='*' --output-file="$3/$2"
}
cut "$1" DejaVuSans.ttf "$2" "$letters,$symbols"
cut "$1" DejaVuSans-Bold.ttf "$2" "$letters,U+2010-2027,U+2030-203A,U+20AC,U+2190-2193,U+2264-2265,U+FFFD"
