"use strict";
// The language in the browser: the meaning is that of src/drasp/run/meaning.py, against which it is tested.
// A variable is {size, ids, scale}, one-hot at each position (scale null where it is 1), or {size, data}, data being (time, size) row by row.

const Interpreter = (() => {
  const TOLERANCE = 1e-6;

  const ACTIVATIONS = {
    /* activations */
  };

  const FUNCTIONS = {
    ...ACTIVATIONS,
    step: (x) => (x > 0 ? 1 : 0),
    sign: Math.sign,
    min: Math.min,
    max: Math.max,
    "+": (x, y) => x + y,
    "-": (x, y) => x - y,
    "*": (x, y) => x * y,
    "/": divide,
  };

  const TESTS = {
    exists: (x, c) => x[c] > TOLERANCE,
    only: (x) => x.reduce((count, share) => count + (share > TOLERANCE), 0) === 1,
    balance: (x, c, d) => Math.abs(x[c] - x[d]) <= TOLERANCE,
  };

  function divide(x, n) {
    return x / (n === 0 ? Infinity : n);
  }

  /** Unpacks the tensors of a program, as drasp.report.program writes them. */
  async function load(program) {
    const tensors = await Promise.all(program.tensors.map((packed) => (packed === null ? null : unpack(packed))));
    return { ...program, tensors, complete: !tensors.includes(null) };
  }

  async function unpack({ shape, symmetric, rank, data }) {
    const view = await inflate(data);
    const [rows = 1, columns = 1] = shape.length === 1 ? [1, shape[0]] : shape;
    if (rank !== null) {
      const factors = Float64Array.from({ length: view.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
      const left = { size: rank, data: factors.subarray(0, rows * rank) };
      return { rows, columns, data: timesMatrix(left, { columns, data: factors.subarray(rows * rank) }, rows).data };
    }
    const entries = Float64Array.from({ length: view.byteLength / 8 }, (_, i) => view.getFloat64(8 * i, true));
    if (!symmetric) return { rows, columns, data: entries };
    const full = new Float64Array(rows * rows);
    let next = 0;
    for (let i = 0; i < rows; i++) {
      for (let j = i; j < rows; j++) full[i * rows + j] = full[j * rows + i] = entries[next++];
    }
    return { rows, columns, data: full };
  }

  async function inflate(data) {
    const packed = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new DataView(await new Response(stream).arrayBuffer());
  }

  /** The keys that each query sees: those up to itself, or all; not those that are padding, unless there are no others. */
  function keysSeen(ids, { bidirectional, pad }) {
    return Array.from(ids, (_, i) => {
      const every = Array.from({ length: bidirectional ? ids.length : i + 1 }, (_, j) => j);
      const real = pad === null ? every : every.filter((j) => ids[j] !== pad);
      return real.length ? real : every;
    });
  }

  /** Scores (time, time) become weights, in their place. */
  function softmax(scores, keys) {
    keys.forEach((seen, i) => {
      const row = scores.subarray(i * keys.length, (i + 1) * keys.length);
      const largest = seen.reduce((a, j) => Math.max(a, row[j]), -Infinity);
      let sum = 0;
      for (const j of seen) sum += row[j] = Math.exp(row[j] - largest);
      for (const j of seen) row[j] /= sum;
    });
  }

  /** All coordinates: (time, size) row by row. */
  function dense(vector) {
    if (!vector.ids) return vector.data;
    const data = new Float64Array(vector.ids.length * vector.size);
    vector.ids.forEach((id, i) => (data[i * vector.size + id] = vector.scale ? vector.scale[i] : 1));
    return data;
  }

  /** One coordinate of a vector at one position. */
  function coordinate(vector, i, c) {
    if (!vector.ids) return vector.data[i * vector.size + c];
    return vector.ids[i] === c ? (vector.scale ? vector.scale[i] : 1) : 0;
  }

  /** `x A`: (time, columns). */
  function timesMatrix(vector, matrix, time) {
    const { columns, data } = matrix;
    const result = new Float64Array(time * columns);
    for (let i = 0; i < time; i++) {
      const add = (c, factor) => {
        for (let j = 0, from = c * columns, to = i * columns; j < columns; j++) result[to + j] += factor * data[from + j];
      };
      if (vector.ids) add(vector.ids[i], vector.scale ? vector.scale[i] : 1);
      else {
        for (let c = 0; c < vector.size; c++) {
          const factor = vector.data[i * vector.size + c];
          if (factor !== 0) add(c, factor);
        }
      }
    }
    return { size: columns, data: result };
  }

  /** `x_i y_j`, for x dense. */
  function inner(x, i, y, j) {
    if (y.ids) return x.data[i * x.size + y.ids[j]] * (y.scale ? y.scale[j] : 1);
    let sum = 0;
    for (let c = 0, a = i * x.size, b = j * y.size; c < x.size; c++) sum += x.data[a + c] * y.data[b + c];
    return sum;
  }

  /** A norm: each row less its mean, over sigma or what stands for it, times gain, plus shift; or less than that. */
  function normed({ size, data }, { centred, scaled, eps, sigma, gain, shift }) {
    const found = data.slice();
    for (let start = 0; start < found.length; start += size) {
      const row = found.subarray(start, start + size);
      const mean = centred ? row.reduce((a, b) => a + b, 0) / size : 0;
      for (let c = 0; c < size; c++) row[c] -= mean;
      if (!scaled) continue;
      const root = sigma ?? Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / size + eps);
      for (let c = 0; c < size; c++) row[c] = divide(row[c], root) * gain[c] + shift[c];
    }
    return { size, data: found };
  }

  /** One evaluation: statement after statement. */
  class Run {
    constructor(program, ids, positions) {
      this.program = program;
      this.time = ids.length;
      this.keys = keysSeen(ids, program);
      const built = (name, values) => ({ size: program.bases[name].size, ids: Int32Array.from(values), scale: null });
      this.vectors = { token: built("token", ids), pos: built("pos", positions), one: built("one", ids.map(() => 0)) };
      this.selects = {};
      this.attention = {};
      this.projections = {};
      for (const statement of program.statements) {
        const result = this[statement.kind](statement);
        if (statement.kind === "project") this.projections[statement.name] = result;
        else if (statement.kind === "prediction") this.logits = result;
        else if (statement.kind !== "select") this.vectors[statement.name] = result;
      }
    }

    read({ variable, over }) {
      const vector = this.vectors[variable];
      if (over === null) return vector;
      const scalar = dense(this.vectors[over]);
      if (vector.ids) return { ...vector, scale: scalar.map((n, i) => divide(vector.scale ? vector.scale[i] : 1, n)) };
      return { size: vector.size, data: vector.data.map((x, i) => divide(x, scalar[Math.floor(i / vector.size)])) };
    }

    /** A value at each position from a function of the position. */
    scalar(compute) {
      return { size: 1, data: Float64Array.from({ length: this.time }, (_, i) => compute(i)) };
    }

    times(read, tensor) {
      return timesMatrix(this.read(read), this.program.tensors[tensor], this.time);
    }

    select(statement) {
      this.selects[statement.name] = statement;
    }

    project(statement) {
      return this.times(statement.reads[0], statement.op);
    }

    table(statement) {
      return this.times(statement.reads[0], statement.op);
    }

    prediction(statement) {
      const size = this.program.outputs.length;
      const data = new Float64Array(this.time * size);
      for (const name of statement.logits) this.projections[name].data.forEach((x, i) => (data[i] += x));
      return { size, data };
    }

    aggregate(statement) {
      const value = this.read(statement.reads[0]);
      const weights = this.weights(statement.selectors);
      this.attention[statement.name] = weights;
      const { size } = value;
      if (statement.selectors.length === 0 && this.program.pad === null) return { size, data: this.uniform(dense(value), size) };
      const data = new Float64Array(this.time * size);
      for (let i = 0; i < this.time; i++) {
        for (let j = 0; j < this.time; j++) {
          const weight = weights[i * this.time + j];
          if (weight === 0) continue;
          if (value.ids) data[i * size + value.ids[j]] += weight * (value.scale ? value.scale[j] : 1);
          else for (let c = 0; c < size; c++) data[i * size + c] += weight * value.data[j * size + c];
        }
      }
      return { size, data };
    }

    /** The running average, or the average of all: summed in the order of the positions, so that equal shares are equal. */
    uniform(value, size) {
      const data = new Float64Array(value.length);
      const sum = new Float64Array(size);
      const all = this.program.bidirectional;
      for (let i = 0; i < this.time; i++) {
        for (let c = 0; c < size; c++) {
          sum[c] += value[i * size + c];
          data[i * size + c] = sum[c] / (i + 1);
        }
      }
      return all ? data.map((_, i) => sum[i % size] / this.time) : data;
    }

    /** Attention (time, time): the softmax of the summed scores over the keys that the query sees, padding left out. */
    weights(selectors) {
      const { time } = this;
      const total = new Float64Array(time * time);
      for (const name of selectors) {
        const { reads, op } = this.selects[name];
        const left = this.times(reads[0], op);
        const key = this.read(reads[1]);
        for (let i = 0; i < time; i++) for (const j of this.keys[i]) total[i * time + j] += inner(left, i, key, j);
      }
      softmax(total, this.keys);
      return total;
    }

    norm(statement) {
      const inputs = statement.reads.map((read) => this.read(read));
      const joined = this.joined(inputs);
      const product = timesMatrix(joined, this.program.tensors[statement.op], this.time);
      return this.scalar((i) => Math.sqrt(Math.max(inner(product, i, joined, i), 0) + statement.eps));
    }

    /** Inputs side by side. */
    joined(inputs) {
      const size = inputs.reduce((sum, input) => sum + input.size, 0);
      const data = new Float64Array(this.time * size);
      let start = 0;
      for (const input of inputs) {
        const part = dense(input);
        for (let i = 0; i < this.time; i++) data.set(part.subarray(i * input.size, (i + 1) * input.size), i * size + start);
        start += input.size;
      }
      return { size, data };
    }

    mlp({ reads, tensors, act, centred, scaled }) {
      const tensor = (name) => this.program.tensors[tensors[name]];
      const row = (name) => tensor(name)?.data;
      const parts = reads.map((read, i) => this.times(read, tensors[`in.${i}`]));
      const { size } = parts[0];
      const total = new Float64Array(this.time * size);
      for (const part of parts) part.data.forEach((x, i) => (total[i] += x));
      const norm = { centred, scaled, eps: row("eps")?.[0], sigma: row("sigma")?.[0], gain: row("gain"), shift: row("shift") };
      const read = normed({ size, data: total }, norm);
      const affine = (vector, part) => {
        const found = timesMatrix(vector, tensor(`w_${part}`), this.time);
        found.data.forEach((x, i) => (found.data[i] = x + row(`b_${part}`)[i % found.size]));
        return found;
      };
      const hidden = affine(read, "in");
      const gate = "w_gate" in tensors ? affine(read, "gate") : null;
      hidden.data.forEach((x, i) => (hidden.data[i] = gate ? ACTIVATIONS[act](gate.data[i]) * x : ACTIVATIONS[act](x)));
      return affine(hidden, "out");
    }

    harden(statement) {
      const vector = this.read(statement.reads[0]);
      if (vector.ids && vector.scale === null) return vector;
      const { size } = vector;
      const data = dense(vector);
      const ids = Int32Array.from({ length: this.time }, (_, i) => {
        let best = 0;
        for (let c = 1; c < size; c++) if (data[i * size + c] > data[i * size + best]) best = c;
        return best;
      });
      return { size, ids, scale: null };
    }

    sharpen(statement) {
      const vector = this.read(statement.reads[0]);
      const { size } = vector;
      const data = dense(vector).map((x) => Math.max(x, 0));
      for (let i = 0; i < this.time; i++) {
        const here = data.subarray(i * size, (i + 1) * size);
        const largest = here.reduce((a, b) => Math.max(a, b), 0);
        for (let c = 0; c < size; c++) here[c] = divide(here[c], largest) ** statement.power;
        const sum = here.reduce((a, b) => a + b, 0);
        for (let c = 0; c < size; c++) here[c] = divide(here[c], sum);
      }
      return { size, data };
    }

    pair(statement) {
      const [first, second] = statement.reads.map((read) => this.read(read));
      const size = first.size * second.size;
      if (first.ids && second.ids && !first.scale && !second.scale) {
        return { size, ids: first.ids.map((id, i) => id * second.size + second.ids[i]), scale: null };
      }
      const data = new Float64Array(this.time * size);
      for (let i = 0; i < this.time; i++) {
        for (let c = 0; c < first.size; c++) {
          const factor = coordinate(first, i, c);
          if (factor === 0) continue;
          for (let d = 0; d < second.size; d++) data[i * size + c * second.size + d] = factor * coordinate(second, i, d);
        }
      }
      return { size, data };
    }

    compare(statement) {
      const left = this.times(statement.reads[0], statement.op);
      const second = this.read(statement.reads[1]);
      return this.scalar((i) => inner(left, i, second, i));
    }

    compute(statement) {
      const columns = statement.formulas.map((formula) => this.formula(formula));
      const size = columns.length;
      return { size, data: Float64Array.from({ length: this.time * size }, (_, n) => columns[n % size][Math.floor(n / size)]) };
    }

    case(statement) {
      const input = this.read(statement.reads[0]);
      const branches = statement.branches.map((branch) => ({ coordinate: branch.coordinate, value: this.formula(branch.formula) }));
      return this.scalar((i) => branches.reduce((sum, branch) => sum + coordinate(input, i, branch.coordinate) * branch.value[i], 0));
    }

    /** A formula at every position. */
    formula(formula) {
      const at = (compute) => this.scalar(compute).data;
      if (formula.kind === "number") return at(() => formula.value);
      if (formula.kind === "coordinate") {
        const vector = this.read(formula.read);
        return at((i) => coordinate(vector, i, formula.coordinate));
      }
      if (formula.kind === "test") {
        const { size } = this.vectors[formula.read.variable];
        const data = dense(this.read(formula.read));
        return at((i) => (TESTS[formula.name](data.subarray(i * size, (i + 1) * size), ...formula.coordinates) ? 1 : 0));
      }
      const parts = formula.arguments.map((part) => this.formula(part));
      if (formula.kind === "negate") return parts[0].map((x) => -x);
      return at((i) => FUNCTIONS[formula.name](...parts.map((part) => part[i])));
    }
  }

  /** What is predicted at each position: an id, or the ids of the tokens that may come next. */
  function predictions(program, { size, data }) {
    return Array.from({ length: data.length / size }, (_, i) => {
      const row = data.subarray(i * size, (i + 1) * size);
      if (program.predict === "next-token") return row.reduce((best, x, c) => (x > row[best] ? c : best), 0);
      return [...row.keys()].filter((c) => row[c] > 0);
    });
  }

  const evaluate = (program, ids, positions) => new Run(program, ids, positions);
  return { load, dense, predictions, evaluate, ACTIVATIONS, inflate, keysSeen, normed, softmax, timesMatrix };
})();
