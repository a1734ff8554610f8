// Asks a picture for texts as anybody does with Transformers.js: node segment.js FOLDER DTYPE PICTURE TEXT...
// Prints the shape of the logits, the tokens and the logits as JSON.
import { basename, dirname } from "node:path";
import { AutoImageProcessor, AutoTokenizer, CLIPSegForImageSegmentation, RawImage, env } from "@huggingface/transformers";

const [folder, dtype, picture, ...texts] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const name = basename(folder);

const tokenizer = await AutoTokenizer.from_pretrained(name);
const processor = await AutoImageProcessor.from_pretrained(name);
const model = await CLIPSegForImageSegmentation.from_pretrained(name, { dtype, device: "cpu" });

const words = tokenizer(texts, { padding: true, truncation: true });
const pixels = await processor(await RawImage.read(picture));
const { logits } = await model({ ...words, ...pixels });
const tokens = words.input_ids.tolist().map((row) => row.map(Number));
console.log(JSON.stringify({ shape: logits.dims, tokens, logits: Array.from(logits.data) }));
