/**
 * Writes items.csv: the stock of a made-up ship chandler, the same on every run. The file is kept in
 * the repository, so this is needed only to change it: `node demo/catalogue.ts`.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Name, aisle, how many usually lie on the shelf, and what it comes in; `@mm` is the unit of a list. */
const families = `
Bow shackle | A | 60 | 5; 6; 8; 10; 12; 14; 16; 19; 22 @mm | galvanised; stainless
D shackle | A | 80 | 4; 5; 6; 8; 10; 12; 14; 16 @mm | galvanised; stainless
Snap shackle | A | 24 | 52; 66; 70; 90; 120 @mm | fixed eye; swivel eye; fork
Carabiner | A | 70 | 50; 60; 70; 80; 100; 120 @mm | plain; with eyelet; screw lock
Turnbuckle | A | 30 | M5; M6; M8; M10; M12; M16 | eye and eye; hook and eye; jaw and jaw; jaw and toggle
Chain, short link, per metre | B | 140 | 4; 5; 6; 8; 10; 12 @mm | galvanised; stainless
Anchor, plough | B | 8 | 5; 7; 10; 12; 16; 20; 25; 32 @kg | galvanised; stainless
Anchor, folding | B | 12 | 0.7; 1.5; 2.5; 3.2; 4; 6 @kg | galvanised; stainless
Anchor swivel | B | 10 | 6; 8; 10; 12; 14 @mm | galvanised; stainless
Rope, polyester braid, per metre | C | 220 | 4; 5; 6; 8; 10; 12; 14; 16 @mm | navy; white; black; red
Rope, three-strand nylon, per metre | C | 160 | 8; 10; 12; 14; 16; 18; 20; 24 @mm | navy; white; black; red
Shock cord, per metre | C | 150 | 3; 4; 5; 6; 8; 10 @mm | navy; white; black; red
Mooring line, spliced | C | 18 | 10; 12; 14; 16; 18; 20 @mm | 6; 10; 15 @m | navy; black
Fender | D | 20 | F1; F2; F3; F4; F5; F6 | navy; white; black; red
Fender hook | D | 26 | 22; 25; 30 @mm | navy; white; black; red
Buoy, round | D | 14 | 20; 25; 30; 40; 50; 60 @cm | orange; white; yellow; red
Lifejacket, foam | E | 16 | 10–15 kg; 15–30 kg; 30–50 kg; 50–70 kg; 70–90 kg; 90+ kg | orange; navy; red
Lifejacket, inflating | E | 9 | 150 N; 165 N; 180 N; 275 N | navy; black; red | manual; automatic
Safety line | E | 14 | 1; 1.5; 2; 3 @m | one hook; two hooks; three hooks; elastic
Navigation light | E | 11 | port; starboard; stern; masthead; tricolour; anchor | 12 V; 24 V | black; white
Hex bolt | F | 260 | M5; M6; M8; M10; M12 | 20; 25; 30; 40; 50; 60; 80; 100 @mm | galvanised; stainless
Machine screw, countersunk | F | 320 | M3; M4; M5; M6; M8 | 10; 12; 16; 20; 25; 30; 40; 50 @mm
Wood screw, bronze | F | 280 | 3.5; 4; 5; 6 @mm | 20; 25; 30; 40; 50; 60 @mm
Self-locking nut | F | 420 | M3; M4; M5; M6; M8; M10; M12; M16 | galvanised; stainless
Washer | F | 480 | M3; M4; M5; M6; M8; M10; M12; M16 | plain; wide; spring
Cleat | G | 28 | 100; 125; 150; 200; 250; 300 @mm | aluminium; nylon; stainless; teak
Block, single | G | 22 | 20; 30; 40; 57; 72 @mm | fixed; swivel; becket; cam cleat
Block, double | G | 16 | 30; 40; 57; 72 @mm | fixed; swivel; becket; cam cleat
Winch handle | G | 9 | 200; 250 @mm | floating; locking; double grip | black; alloy
Hose, reinforced, per metre | H | 90 | 10; 13; 16; 19; 25; 32; 38; 50 @mm | clear; sanitation; exhaust; fuel
Hose clip | H | 240 | 8–12 mm; 10–16 mm; 12–20 mm; 16–27 mm; 25–40 mm; 32–50 mm; 50–70 mm; 70–90 mm | 9 mm band; 12 mm band
Skin fitting | H | 18 | ½ in; ¾ in; 1 in; 1¼ in; 1½ in; 2 in | bronze; composite; stainless
Ball valve | H | 15 | ½ in; ¾ in; 1 in; 1¼ in; 1½ in; 2 in | bronze; composite; stainless
Bilge pump | H | 7 | 1300; 1900; 3000; 4200; 7500 @l/h | 12 V; 24 V
Antifouling, hard | J | 14 | 0.75; 2.5; 5 @l | navy; black; red; white; green
Antifouling, self-polishing | J | 12 | 0.75; 2.5; 5 @l | navy; black; red; white; green
Varnish | J | 20 | 0.375; 0.75; 2.5 @l | gloss; satin; matt; spar
Sealant | J | 32 | 100; 290; 600 @ml | white; black; clear; teak brown
Battery, deep cycle | K | 5 | 70; 90; 110; 140; 200 @Ah | AGM; gel; lithium
Cable, tinned, per metre | K | 180 | 1.5; 2.5; 4; 6; 10; 16; 25; 35 @mm² | red; black; twin
Fuse, blade | K | 150 | 2; 3; 5; 7.5; 10; 15; 20; 25; 30; 40 @A | standard; mini; maxi
Rope, floating polypropylene, per metre | C | 190 | 4; 6; 8; 10; 12; 14 @mm | navy; white; black; red
Oar, ash | L | 8 | 150; 180; 200; 210; 240; 260 @cm | plain; leathered
Boathook | L | 10 | 120; 150; 180; 210 @cm | telescopic; wooden
Sail tape | L | 36 | 25; 50; 75; 100; 150 @mm | white; navy; red; tan; clear
Batten | L | 22 | 15; 20; 25; 30 @mm | 60; 90; 120; 150; 180 @cm
Hinge | M | 40 | 25; 38; 50; 65; 76; 100; 120 @mm | stainless; bronze; brass; nylon
Hasp | M | 26 | 60; 75; 90; 115 @mm | fixed; swivel; locking
Ventilator | M | 12 | 75; 100; 125; 150 @mm | louvre; mushroom; cowl; solar
Hatch, opening | M | 5 | 270 × 370 mm; 320 × 320 mm; 420 × 420 mm; 500 × 500 mm; 620 × 620 mm | white; black; clear
Impeller | N | 16 | 32; 40; 51; 57; 65; 82; 95 @mm | neoprene; nitrile | pin; spline; key
Anode, zinc | N | 24 | 20; 22; 25; 30; 35; 40; 45; 50 @mm | shaft; collar; propeller nut
Oil filter | N | 18 | short; long | M20; M22; ¾ in; 13/16 in; 1 in
Fuel filter | N | 20 | 2; 10; 30 @micron | element; spin-on; in-line
Flag, courtesy | P | 9 | Denmark; Estonia; Finland; France; Germany; Iceland; Ireland; Italy; Latvia; Lithuania; Netherlands; Norway; Poland; Portugal; Spain; Sweden | 20 × 30 cm; 30 × 45 cm
`

/** `['5 mm', '6 mm']` for `5; 6 @mm`. */
function parseChoices(text: string): string[] {
  const [list = '', unit] = text.split('@')
  return list.split(';').map((choice) => (unit ? `${choice.trim()} ${unit}` : choice.trim()))
}

const combine = (choices: readonly (readonly string[])[]): readonly (readonly string[])[] =>
  choices.reduce<readonly (readonly string[])[]>(
    (rows, values) => rows.flatMap((row) => values.map((value) => [...row, value])),
    [[]],
  )

/** A number in [0, 1) that depends on `index` alone. */
const scatter = (index: number): number => (Math.imul(index + 1, 2_654_435_761) >>> 0) / 2 ** 32

function readFamily(line: string) {
  const [name, aisle, usual, ...choices] = line.split(' | ')
  return combine(choices.map(parseChoices)).map((parts, place) => ({
    name: [name, ...parts].join(', '),
    location: `${aisle}${Math.floor(place / 12) + 1}-${(place % 12) + 1}`,
    usual: Number(usual),
  }))
}

function writeRow({ name, location, usual }: ReturnType<typeof readFamily>[0], index: number) {
  const sku = `sku-${String(index + 1).padStart(4, '0')}`
  const reorderLevel = Math.max(2, Math.round(usual * (0.15 + scatter(index) * 0.2)))
  // The first one stands just above its level: to pick two of it is the first thing to try.
  const spare = index === 0 ? 1 : reorderLevel * (0.1 + scatter(index * 7 + 3) * 2.4)
  return [sku, `"${name}"`, location, reorderLevel, Math.round(reorderLevel + spare)].join(',')
}

const rows = families.trim().split('\n').flatMap(readFamily).map(writeRow)
const lines = ['sku,name,location,reorderLevel,onHand', ...rows]
await writeFile(join(import.meta.dirname, 'items.csv'), `${lines.join('\n')}\n`)
process.stdout.write(`items.csv: ${rows.length} items\n`)
