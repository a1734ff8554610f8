"""Classes and prompts of the benchmarks: COCO's order, the folds of the one-shot protocols, generalised prompts."""

from collections.abc import Mapping, Sequence

from clipseg_hf.data.vocabulary.concepts import concept_classes

PromptMap = Mapping[str, Mapping[str, Sequence[str]]]
"""Group -> prompt -> names of the categories that it stands for."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


COCO_CLASSES = _names(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
    teddy bear, hair drier, toothbrush"""
)
PASCAL_FOLDS = {f"fold {n}": concept_classes(f"pascal5i-fold{n}") for n in range(4)}
COCO_FOLDS = {f"fold {n}": COCO_CLASSES[n::4] for n in range(4)}  # as in HSNet
ZERO_SHOT_SPLITS = {n: concept_classes(f"unseen-{n}") for n in (2, 4, 6, 8, 10)}

_CHAIRS = _names(
    "armchair, sofa, loveseat, deck chair, rocking chair, highchair, folding chair, chair, recliner, wheelchair"
)
GENERALIZED_PROMPTS: PromptMap = {
    "affordances": {
        "sit on": _CHAIRS,
        "drink from": _names("bottle, beer bottle, water bottle, wine bottle, thermos bottle"),
        "ride on": _names("horse, pony, motorcycle"),
    },
    "attributes": {
        "can fly": _names(
            "eagle, jet plane, airplane, fighter jet, bird, duck, gull, owl, seabird, pigeon, goose, parakeet"
        ),
        "can be driven": _names("minivan, bus, cab, jeep, ambulance, car"),
        "can swim": _names("duck, duckling, water scooter, penguin, boat, kayak, canoe"),
    },
    "parts": {
        "has wheels": _names("dirt bike, car, wheelchair, motorcycle, bicycle, cab, minivan, bus, jeep, ambulance"),
        "has legs": _CHAIRS
        + _names(
            "horse, pony, eagle, bird, duck, gull, owl, seabird, pigeon, goose, parakeet, dog, cat, flamingo, penguin, "
            "cow, puppy, sheep, ostrich, ram, chicken, person"
        ),
    },
}
"""The paper's prompts and the LVIS categories behind them."""

EMOJI_PROMPTS: PromptMap = {
    "affordances": {
        "thing to eat": _names(
            """hot dog, taco, burrito, chestnut, hot pepper, ear of corn, mushroom, tomato, eggplant, grapes, melon,
            watermelon, tangerine, lemon, banana, pineapple, red apple, green apple, pear, peach, cherries,
            strawberry, hamburger, pizza, meat on bone, poultry leg, rice cracker, rice ball, cooked rice, curry rice,
            steaming bowl, spaghetti, bread, french fries, roasted sweet potato, dango, oden, sushi, fried shrimp,
            fish cake with swirl, soft ice cream, shaved ice, ice cream, doughnut, cookie, chocolate bar, candy,
            lollipop, custard, shortcake, bento box, pot of food, cooking, popcorn, birthday cake, croissant, avocado,
            cucumber, bacon, potato, carrot, baguette bread, green salad, shallow pan of food, stuffed flatbread, egg,
            peanuts, kiwi fruit, pancakes, dumpling, fortune cookie, coconut, broccoli, pie, pretzel, cut of meat,
            sandwich, leafy green, mango, moon cake, bagel, cheese wedge, cupcake, garlic, onion, falafel, waffle,
            butter, blueberries, bell pepper, olive, flatbread, tamale, fondue, beans, pea pod"""
        ),
        "thing to ride": _names(
            "horse, carousel horse, camel, donkey, bicycle, motorcycle, motor scooter, kick scooter, skateboard, sled"
        ),
    },
    "attributes": {
        "thing that flies": _names(
            """airplane, helicopter, rocket, flying saucer, bird, dove, eagle, duck, owl, parrot, swan, goose, flamingo,
            bat, butterfly, honeybee, lady beetle, fly, mosquito, kite, parachute"""
        ),
    },
    "parts": {
        "thing that has wheels": _names(
            """racing car, automobile, sport utility vehicle, police car, pickup truck, delivery truck,
            articulated lorry, tractor, bus, ambulance, fire engine, auto rickshaw, bicycle, motorcycle, motor scooter,
            kick scooter, skateboard, roller skate, motorized wheelchair, manual wheelchair, shopping cart, locomotive,
            tram"""
        ),
    },
}
"""The same for the emoji world."""
