// SPDX-License-Identifier: Apache-2.0
// From the page's inert block to columns: base64, inflate, typed arrays. The format is documented in `html.rs`.
// Comes in: the text of the block. Goes out: { head, columns, texts }.
// Nothing here knows what the columns mean; every text stays bytes until somebody asks for it.

const FORMAT = 1;
const COLUMN_TYPES = { u8: Uint8Array, i32: Int32Array, u32: Uint32Array, f64: Float64Array };

async function decodeBlock(base64) {
  const packed = bytesFromBase64(base64.trim());
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return readColumns(await new Response(stream).arrayBuffer());
}

function bytesFromBase64(text) {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

function readColumns(buffer) {
  const headLength = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headLength)));
  if (head.format !== FORMAT) throw new Error(`this page reads format ${FORMAT}, the data has ${head.format}`);
  const columns = {};
  let offset = aligned(4 + headLength);
  for (const [name, type, length] of head.columns) {
    columns[name] = new COLUMN_TYPES[type](buffer, offset, length);
    offset = aligned(offset + columns[name].byteLength);
  }
  return { head, columns, texts: new Texts(columns.text_end, columns.text_bytes) };
}

function aligned(offset) {
  return Math.ceil(offset / 8) * 8;
}

// Distinct texts by number, decoded when first asked for. -1 is the absent text.
class Texts {
  constructor(ends, bytes) {
    this.ends = ends;
    this.bytes = bytes;
    this.decoded = new Map();
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  }

  get(number) {
    if (number < 0) return null;
    let text = this.decoded.get(number);
    if (text === undefined) {
      const start = number === 0 ? 0 : this.ends[number - 1];
      text = this.decoder.decode(this.bytes.subarray(start, this.ends[number]));
      this.decoded.set(number, text);
    }
    return text;
  }
}
