"""Every word of the page, in English and Korean."""

from typing import Any

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "# CLIPSeg: masks by words and examples",
        "intro": "Give a picture, say what to look for, one thing a line. The masks follow as you type.",
        "picture": "Picture",
        "prompts": "What to look for, one a line",
        "prompts_info": '"cat | dog - collar" makes one mask: any of, all of (&), but not (-).',
        "prompts_hint": "a dog\na cat | a fox",
        "threshold": "Threshold",
        "threshold_info": "Probability above which a pixel belongs to a mask. 0: the model's own.",
        "by_example": "By example: brush over the thing in another picture",
        "example_info": "Choose a picture and brush over the thing. Nothing brushed: the whole picture shows it. "
        "Your browser reduces it to 800 pixels.",
        "upload_example": "Choose a picture",
        "brush_here": "The example: brush by mouse or finger, or by arrow keys and the space bar",
        "brush_width": "Width of the brush",
        "undo": "Undo",
        "clear": "Clear the brush",
        "remove": "Remove the picture",
        "mix": "Share of the example",
        "mix_info": "The example goes with the first line, if that is one phrase. 0: the text alone, 1: the example.",
        "operations": "Finish the masks",
        "guided_filter": "Follow the picture's edges",
        "guided_filter_info": "For models without a refiner: borders move to where the colours change.",
        "min_area": "Drop parts smaller than (pixels)",
        "fill_holes": "Fill holes up to (pixels)",
        "erode": "Erode (pixels)",
        "dilate": "Dilate (pixels)",
        "feather": "Soft border of cut-outs (pixels)",
        "overlay": "Masks",
        "heat_maps": "Heat maps",
        "label_map": "Label map",
        "cutouts": "Cut-outs",
        "save_overlay": "Overlay (PNG)",
        "save_masks": "Masks (PNG in ZIP)",
        "save_json": "Numbers and masks (JSON)",
        "scenes": "### Try one of these",
        # beside the masks
        "like_example": "example",
        "found": "score {score:.2f}, {share:.1%} of the picture",
        "perhaps": "perhaps absent",
        "reduced": "The picture has {width} x {height} pixels; it was reduced to {most} before it was looked at.",
        "not_found": "not found",
        # what went wrong
        "nothing_shown": "Give a picture first.",
        "nothing_asked": "Say what to look for: write a line, or give an example.",
        "no_picture": "This file is not a picture that can be read. PNG, JPEG and WebP are fine.",
        "too_many_bytes": "The file has {given} MB; at most {most} MB are taken. Make the picture smaller.",
        "too_many_pixels": "The picture has {given} million pixels; at most {most} million are taken. Scale it down.",
        "too_many_prompts": "There are {given} lines; at most {most} are asked at once. Leave some out.",
        "too_long": "The text has {given} characters; at most {most} are read. Shorten it.",
        "unreadable_prompt": "This cannot be asked. {reason}",
    },
    "ko": {
        "title": "# CLIPSeg: 말과 예시로 찾는 마스크",
        "intro": "사진을 주고, 찾을 것을 한 줄에 하나씩 쓰세요. 쓰는 대로 마스크가 바뀝니다.",
        "picture": "사진",
        "prompts": "찾을 것, 한 줄에 하나씩",
        "prompts_info": '"cat | dog - collar"는 마스크 하나가 됩니다: 하나라도(|), 모두(&), 빼기(-).',
        "prompts_hint": "a dog\na cat | a fox",
        "threshold": "임계값",
        "threshold_info": "이 확률보다 높은 픽셀이 마스크에 들어갑니다. 0: 모델의 값.",
        "by_example": "예시로 찾기: 다른 사진에서 대상을 칠하세요",
        "example_info": "사진을 고르고 대상을 칠하세요. 칠하지 않으면 사진 전체가 예시입니다. "
        "브라우저가 사진을 800픽셀로 줄입니다.",
        "upload_example": "사진 고르기",
        "brush_here": "예시: 마우스나 손가락, 또는 화살표 키와 스페이스 키로 칠하세요",
        "brush_width": "붓의 굵기",
        "undo": "되돌리기",
        "clear": "칠 지우기",
        "remove": "사진 빼기",
        "mix": "예시의 비중",
        "mix_info": "첫 줄이 구 하나이면 예시와 섞입니다: 0은 글만, 1은 예시만.",
        "operations": "마스크 다듬기",
        "guided_filter": "사진의 윤곽 따라가기",
        "guided_filter_info": "리파이너가 없는 모델에 씁니다. 경계가 색이 바뀌는 곳으로 옮겨집니다.",
        "min_area": "이보다 작은 조각 버리기 (픽셀)",
        "fill_holes": "이 크기까지 구멍 메우기 (픽셀)",
        "erode": "깎기 (픽셀)",
        "dilate": "넓히기 (픽셀)",
        "feather": "오려 낸 그림의 부드러운 경계 (픽셀)",
        "overlay": "마스크",
        "heat_maps": "열지도",
        "label_map": "레이블 지도",
        "cutouts": "오려 내기",
        "save_overlay": "겹친 그림 (PNG)",
        "save_masks": "마스크 (ZIP 속 PNG)",
        "save_json": "수치와 마스크 (JSON)",
        "scenes": "### 이 가운데 하나로 해 보기",
        "like_example": "예시",
        "found": "점수 {score:.2f}, 사진의 {share:.1%}",
        "perhaps": "없을 수도 있음",
        "reduced": "사진이 {width} x {height} 픽셀이어서 {most} 픽셀로 줄여서 보았습니다.",
        "not_found": "찾지 못함",
        "nothing_shown": "먼저 사진을 주세요.",
        "nothing_asked": "찾을 것을 쓰거나 예시를 주세요.",
        "no_picture": "읽을 수 있는 사진 파일이 아닙니다. PNG, JPEG, WebP를 쓸 수 있습니다.",
        "too_many_bytes": "파일이 {given} MB입니다. {most} MB까지 받습니다. 사진을 줄여 주세요.",
        "too_many_pixels": "사진이 {given}백만 픽셀입니다. {most}백만까지 받습니다. 사진을 줄여 주세요.",
        "too_many_prompts": "{given}줄입니다. 한 번에 {most}줄까지 묻습니다. 몇 줄을 빼 주세요.",
        "too_long": "글이 {given}자입니다. {most}자까지 읽습니다. 줄여 주세요.",
        "unreadable_prompt": "물을 수 없습니다. {reason}",
    },
}


class PageError(ValueError):
    """What a visitor can mend; `say` puts it into words.

    Args:
        key: of `WORDS`.
        values: for the places in it.
    """

    def __init__(self, key: str, **values: Any):
        super().__init__(WORDS["en"][key].format(**values))
        self.key, self.values = key, values

    def say(self, language: str) -> str:
        """The message in one of the languages of `WORDS`."""
        return WORDS[language][self.key].format(**self.values)


def language_of(accepted: str | None) -> str:
    """The header `Accept-Language` of a browser -> the first of our languages in it; English where there is none."""
    for entry in (accepted or "").split(","):
        code = entry.split(";")[0].strip().split("-")[0].lower()
        if code in WORDS:
            return code
    return "en"
