"""Write the fixed list of concepts of the emoji world: character, name, seen or unseen.

Names come from the `emoji` package; what is left out, and why, stands below. Run it only to change the world: every
data set and checkpoint made before then belongs to the old list.

    python examples/make_emoji_concepts.py src/clipseg_hf/data/emoji_world/emoji_concepts.json
"""

import json
import random
import re
import sys

import emoji

from clipseg_hf.data.emoji_world.emoji_glyphs import GlyphSheet

# Signs, arrows, buttons, clock faces, hands and faces: dozens of pictures that differ by a stroke.
LEFT_OUT_RANGES = [
    (0x00A9, 0x21FF),
    (0x23E9, 0x23EF),
    (0x23F8, 0x25FF),
    (0x2648, 0x2653),
    (0x2714, 0x2757),
    (0x2795, 0x303D),
    (0x3297, 0x1F004),
    (0x1F170, 0x1F2FF),
    (0x1F311, 0x1F318),
    (0x1F446, 0x1F450),
    (0x1F4F4, 0x1F4F5),
    (0x1F500, 0x1F50A),
    (0x1F517, 0x1F524),
    (0x1F52F, 0x1F53D),
    (0x1F550, 0x1F567),
    (0x1F58F, 0x1F596),
    (0x1F600, 0x1F64F),
    (0x1F7E0, 0x1F7F0),
    (0x1F90C, 0x1F915),
    (0x1F917, 0x1F92F),
    (0x1F970, 0x1F97A),
    (0x1FAE0, 0x1FAFF),
]
LEFT_OUT_WORDS = re.compile(
    r"button|arrow|\bsign\b|symbol|suit\b|\bface\b|oncoming|circle|square|question|exclamation|mark\b|keycap|"
    r"waving|heart with|hearts|fist|pointing|no |non-|prohibited|men|women|\bX\b|medium|speaker|globe with|"
    r"pregnant|breast|kiss|tilted right|variation|with sweat|banknote|envelope|mailbox|tray|diamond|symbol|"
    r"holding|person|people|deaf|children|old woman|old man|older|woman with|man with|busts|"
    r"couple|family|footprints|eye$|vibration|airplane |chart|page|blossom$|input|medal$"
)
# Twins of a concept that stays, and names that mean nothing without knowing the sign.
LEFT_OUT_NAMES = """\
ZZZ|dizzy|anger symbol|hundred points|name badge|e-mail|sun behind small cloud|sun behind large cloud|
sun behind rain cloud|cloud with rain|cloud with snow|sun with face|full moon|closed umbrella|
umbrella on ground|umbrella|snowman without snow|globe showing Americas|globe showing Asia-Australia|
deciduous tree|two-hump camel|ox|water buffalo|ram|ewe|mouse|rat|boar|baby chick|front-facing baby chick|
chicken|whale|pig nose|minibus|tram car|light rail|metro|train|railway car|high-speed train|
mountain railway|trolleybus|motor boat|ship|ferry|passenger ship|small airplane|taxi|clinking beer mugs|
clinking glasses|shopping bags|notebook with decorative cover|notebook|ledger|bookmark tabs|
open file folder|card index|tear-off calendar|spiral notepad|spiral calendar|round pushpin|
linked paperclips|triangular ruler|musical notes|musical score|mobile phone with arrow|camera with flash|
video camera|telephone receiver|optical disk|locked with pen|locked with key|unlocked|key|dvd|
computer disk|houses|house with garden|derelict house|Japanese post office|post office|hotel|love hotel|
convenience store|hospital|school|office building|cityscape|cityscape at dusk|sunrise|sunset|mountain|
mount fuji|sunrise over mountains|night with stars|bridge at night|milky way|foggy|fog|
beach with umbrella|national park|desert|desert island|camping|building construction|
fork and knife with plate|level slider|control knobs|weary cat|white heart|grey heart|beating heart|
growing heart|sparkling heart|heart decoration|brown heart|light blue heart|pink heart|orange heart|
yellow heart|green heart|blue heart|purple heart|black heart|baggage claim|left luggage|customs|
passport control|restroom|water closet|baby symbol|potable water|shower|wireless|elevator|landslide|
motorway|man’s shoe|woman’s sandal|flat shoe|curly loop|wavy dash|sweat droplets|drop of blood|collision|
dashing away|heavy dollar sign|information|ATM sign|no entry|place of worship|Ophiuchus|hole|placard|
triangular flag|white flag|black flag|crossed flags|flag in hole|chequered flag|moon viewing ceremony|
heavy equals sign|om|khanda|hamsa|menorah|latin cross|orthodox cross|star and crescent|peace sign|
yin yang|wheel of dharma|female sign|male sign|recycling|infinity|atom|medical|fleur-de-lis|warning|
high voltage|radioactive|biohazard|man|woman|boy|girl|child|baby|merperson|elf|mage|fairy|superhero|
supervillain|prince|princess|Mrs. Claus|guard|construction worker|vampire|troll|genie|hibiscus|
white flower|rosette|lotus|leafless tree|herb|white cane|identification card|cinema|speech balloon|
thought balloon|left speech bubble|right anger bubble|ticket|pound|newspaper|memo|inbox|wedding|kaaba|
synagogue|check box with check|sparkle|glowing star|meteor|low battery|confetti ball|tanabata tree|
statue of Liberty|mobile phone off|white medium star|hyacinth|nest with eggs|ice skate|man dancing|
detective|busts in silhouette|bust in silhouette|speaking head|selfie|palms up together|nail polish|
handshake|raised back of hand|monarch butterfly|orca|hairy creature|fight cloud|treasure chest|trombone|
harp|shovel|root vegetable|splatter|leaf fluttering in wind|baseball|bell with slash|ninja|dragon face|
police officer|woman dancing|snowboarder|skier|ear|leg|foot|multiply|tropical fish|spouting whale|person|
grinning cat|softball"""

UNSEEN_SHARE = 0.125


def main(path: str) -> None:
    sheet = GlyphSheet()
    left_out = {name.strip() for name in LEFT_OUT_NAMES.replace("\n", "").split("|")}
    concepts, pictures = [], {}
    for sequence, entry in emoji.EMOJI_DATA.items():
        character = sequence.replace("\ufe0f", "")
        name = entry["en"].strip(":").replace("_", " ").replace("’", "'")
        if len(character) != 1 or entry["status"] != emoji.STATUS["fully_qualified"]:
            continue
        if any(low <= ord(character) <= high for low, high in LEFT_OUT_RANGES):
            continue
        if name in left_out or name.replace("'", "’") in left_out or LEFT_OUT_WORDS.search(name):
            continue
        picture = sheet.find(character)
        if picture is None or picture.tobytes() in pictures:  # not in the font, or drawn like another
            continue
        pictures[picture.tobytes()] = name
        name = {"globe showing Europe-Africa": "globe", "horizontal traffic light": "traffic light"}.get(name, name)
        if name in ("vertical traffic light", "magnifying glass tilted left"):
            continue
        concepts.append({"character": character, "name": name.lower()})
    concepts.sort(key=lambda concept: concept["character"])
    unseen = set(random.Random(0).sample(range(len(concepts)), round(UNSEEN_SHARE * len(concepts))))
    for number, concept in enumerate(concepts):
        concept["seen"] = number not in unseen
    lines = ",\n".join(json.dumps(concept, ensure_ascii=False) for concept in concepts)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"[\n{lines}\n]\n")
    print(f"{len(concepts)} concepts, {len(unseen)} unseen, in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
