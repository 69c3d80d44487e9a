// The model itself in the browser: the forward pass of src/drasp/model/forward.py, against which it is tested. A stream is
// {size, data}, data being (time, size) row by row.

const Model = (() => {
  const { ACTIVATIONS, inflate, keysSeen, softmax, timesMatrix } = Interpreter;

  /** Unpacks the weights of a model, as drasp.view.report.model writes them. */
  async function load(part) {
    if (part === null || typeof part !== "object") return part;
    if ("columns" in part) {
      const view = await inflate(part.data);
      return { ...part, data: Float64Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true)) };
    }
    if (Array.isArray(part)) return Promise.all(part.map(load));
    return Object.fromEntries(await Promise.all(Object.entries(part).map(async ([name, value]) => [name, await load(value)])));
  }

  const lengthOf = ({ size, data }) => data.length / size;

  function sum(...streams) {
    const [{ size }] = streams;
    return { size, data: streams[0].data.map((_, i) => streams.reduce((total, { data }) => total + data[i % data.length], 0)) };
  }

  function affine(stream, { weight, bias }) {
    return sum(timesMatrix(stream, weight, lengthOf(stream)), bias);
  }

  function rowsOf({ columns, data }, ids) {
    const found = new Float64Array(ids.length * columns);
    ids.forEach((id, i) => found.set(data.subarray(id * columns, (id + 1) * columns), i * columns));
    return { size: columns, data: found };
  }

  function normed(stream, { gain, shift, ...norm }) {
    return Interpreter.normed(stream, { ...norm, gain: gain?.data, shift: shift?.data });
  }

  /** Queries or keys turned by their positions. */
  function turned({ size, data }, rotary, positions) {
    if (rotary === null) return { size, data };
    const found = data.slice();
    const count = rotary.dimensions / 2;
    positions.forEach((position, i) => {
      for (let pair = 0; pair < count; pair++) {
        const angle = position / rotary.base ** (pair / count);
        const [first, second] = (rotary.interleaved ? [2 * pair, 2 * pair + 1] : [pair, count + pair]).map((c) => i * size + c);
        found[first] = data[first] * Math.cos(angle) - data[second] * Math.sin(angle);
        found[second] = data[second] * Math.cos(angle) + data[first] * Math.sin(angle);
      }
    });
    return { size, data: found };
  }

  /** What a head attends to, (time, time), and what it adds to the stream. */
  function attended(head, read, { scale }, { rotary, positions, keys }) {
    const time = keys.length;
    const [query, key] = ["query", "key"].map((name) => turned(affine(read, head[name]), rotary, positions));
    const value = affine(read, head.value);
    const weights = new Float64Array(time * time);
    const mixed = { size: value.size, data: new Float64Array(value.data.length) };
    keys.forEach((seen, i) => {
      for (const j of seen) {
        for (let c = 0; c < query.size; c++) weights[i * time + j] += scale * query.data[i * query.size + c] * key.data[j * key.size + c];
      }
    });
    softmax(weights, keys);
    keys.forEach((seen, i) => {
      for (const j of seen) {
        for (let c = 0; c < value.size; c++) mixed.data[i * value.size + c] += weights[i * time + j] * value.data[j * value.size + c];
      }
    });
    return { weights, added: timesMatrix(mixed, head.out, time) };
  }

  function mlp({ act, in: into, gate, out }, read) {
    const hidden = affine(read, into);
    const gated = gate && affine(read, gate).data;
    const data = hidden.data.map((x, i) => (gated ? ACTIVATIONS[act](gated[i]) * x : ACTIVATIONS[act](x)));
    return affine({ size: hidden.size, data }, out);
  }

  /** The logits {size, data}, and for each layer what each head attends to, (time, time). */
  function evaluate(model, ids, positions) {
    const at = { rotary: model.rotary, positions, keys: keysSeen(ids, model) };
    let stream = rowsOf(model.tokens, ids);
    if (model.places) stream = sum(stream, rowsOf(model.places, positions));
    const attention = [];
    for (const block of model.blocks) {
      const before = stream;
      const heads = block.heads.map((head) => attended(head, block.order === "post" ? stream : normed(stream, block.normAttention), block, at));
      attention.push(heads.map(({ weights }) => weights));
      stream = sum(stream, ...heads.map(({ added }) => added), block.bias);
      if (block.order === "post") stream = normed(stream, block.normAttention);
      if (block.mlp === null) continue;
      if (block.order === "post") stream = normed(sum(stream, mlp(block.mlp, stream)), block.normMlp);
      else stream = sum(stream, mlp(block.mlp, normed(block.order === "parallel" ? before : stream, block.normMlp)));
    }
    return { logits: affine(normed(stream, model.norm), model.outputs), attention };
  }

  return { load, evaluate };
})();
