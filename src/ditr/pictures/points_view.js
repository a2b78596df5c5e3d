// The 3D view of a report: points in WebGL 2, shaded by the depth of what lies around them. Nothing is fetched.
"use strict";
(() => {
  const POINTS = [`#version 300 es
    in vec3 place, facing; in vec4 paint;
    uniform mat4 view; uniform vec3 eye; uniform float size, cut, open; out vec4 color;
    void main() {
      gl_Position = view * vec4(place, 1.0);
      gl_PointSize = clamp(size / gl_Position.w, 1.5, 40.0);
      color = paint;
      bool behind = open * dot(facing, eye - place) < 0.0;
      if (paint.a == 0.0 || place.z > cut || behind) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    }`, `#version 300 es
    precision mediump float;
    in vec4 color; out vec4 pixel;
    void main() {
      if (length(gl_PointCoord - 0.5) > 0.5) discard;
      pixel = vec4(color.rgb, 1.0);
    }`];
  // Shading by depth (Boucheny, 2009): a pixel is darker the more its neighbours lie before it.
  const SHADE = [`#version 300 es
    void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`, `#version 300 es
    precision highp float;
    uniform sampler2D colors, depths; uniform vec3 paper; uniform vec2 planes; uniform float reach; out vec4 pixel;
    float far(ivec2 at) {
      float d = texelFetch(depths, clamp(at, ivec2(0), textureSize(depths, 0) - 1), 0).r;
      return d == 1.0 ? 1e3 : log2(planes.x * planes.y / (planes.y - d * (planes.y - planes.x)));
    }
    void main() {
      ivec2 at = ivec2(gl_FragCoord.xy);
      float own = far(at), before = 0.0;
      int r = int(reach);
      for (int i = 0; i < 8; i++) {
        ivec2 by = ivec2(round(float(r) * vec2(cos(float(i) * 0.7854), sin(float(i) * 0.7854))));
        before += clamp(own - far(at + by), 0.0, 0.06);
      }
      vec4 c = texelFetch(colors, at, 0);
      pixel = vec4(own > 900.0 ? paper : c.rgb * exp(-4.0 * before), 1.0);
    }`];

  function program(gl, [vertex, fragment]) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "shader");
    return made;
  }

  function bytesOf(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  class View {
    constructor(root) {
      this.root = root;
      this.canvas = root.querySelector("canvas");
      this.gl = this.canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
      if (!this.gl) return;
      const templates = root.querySelectorAll("template");
      Object.assign(this, JSON.parse(templates[0].content.textContent));
      const bytes = bytesOf(templates[1].content.textContent);
      this.places = new Uint16Array(bytes.buffer, 0, 3 * this.count);
      let at = 6 * this.count;
      if (this.inward) this.facing = new Int8Array(bytes.buffer, at, 3 * this.count);
      at += this.inward ? 3 * this.count : 0;
      for (const layer of this.layers) {
        const width = layer.kind === "color" ? 3 : 1;
        layer.bytes = bytes.subarray(at, at += width * this.count);
        layer.hidden = new Set();
      }
      this.paint = new Uint8Array(4 * this.count);
      this.first = { yaw: this.yaw, pitch: this.pitch, target: this.target, distance: 2.5 * this.radius };
      this.size = 4 * this.radius / Math.sqrt(this.count) + 0.003 * this.radius;
      this.open = this.inward;
      this.top = this.extent[2];
      this.setUp();
      this.reset();
      this.makeTools();
      this.choose(this.layers[0]);
      this.listen();
      root.classList.add("live");
      new ResizeObserver(() => this.draw()).observe(this.canvas);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    }

    // ---- drawing --------------------------------------------------------------------------------------------------

    setUp() {
      const gl = this.gl;
      this.points = program(gl, POINTS);
      this.shade = program(gl, SHADE);
      this.at = (of, name) => gl.getUniformLocation(of, name);
      this.cloud = gl.createVertexArray();
      gl.bindVertexArray(this.cloud);
      const buffer = (name, data, size, kind, whole) => {
        const made = gl.createBuffer(), slot = gl.getAttribLocation(this.points, name);
        gl.bindBuffer(gl.ARRAY_BUFFER, made);
        gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
        gl.enableVertexAttribArray(slot);
        gl.vertexAttribPointer(slot, size, kind, whole, 0, 0);
        return made;
      };
      buffer("place", this.places, 3, gl.UNSIGNED_SHORT, false);
      if (this.inward) buffer("facing", this.facing, 3, gl.BYTE, true);
      this.painted = buffer("paint", this.paint, 4, gl.UNSIGNED_BYTE, true);
      this.empty = gl.createVertexArray();
      this.frame = gl.createFramebuffer();
      this.textures = [gl.createTexture(), gl.createTexture()];
    }

    fit() {
      const gl = this.gl, canvas = this.canvas, scale = Math.min(devicePixelRatio || 1, 2);
      const width = Math.max(1, Math.round(canvas.clientWidth * scale));
      const height = Math.max(1, Math.round(canvas.clientHeight * scale));
      if (this.width === width && this.height === height) return;
      Object.assign(this, { width, height, scale });
      canvas.width = width;
      canvas.height = height;
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
      [[gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, gl.COLOR_ATTACHMENT0],
        [gl.DEPTH_COMPONENT24, gl.DEPTH_COMPONENT, gl.UNSIGNED_INT, gl.DEPTH_ATTACHMENT]].forEach(
        ([inner, outer, kind, slot], i) => {
          gl.bindTexture(gl.TEXTURE_2D, this.textures[i]);
          gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, outer, kind, null);
          gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
          gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
          gl.framebufferTexture2D(gl.FRAMEBUFFER, slot, gl.TEXTURE_2D, this.textures[i], 0);
        });
    }

    /** Axes of the camera: right, up, backward; z of the scene is up. */
    axes() {
      const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
      return [[-sy, cy, 0], [-cy * sp, -sy * sp, cp], [cy * cp, sy * cp, sp]];
    }

    eye() {
      const back = this.axes()[2];
      return this.target.map((t, i) => t + this.distance * back[i]);
    }

    /** From steps of 16 bits to the picture, by columns. */
    matrix() {
      const [right, up, back] = this.axes(), eye = this.eye();
      const reach = this.distance + 4 * Math.hypot(...this.extent);
      this.planes = [Math.max(0.01 * this.distance, 1e-5 * reach), reach];
      const [near, far] = this.planes, fy = 2.4, fx = fy * this.height / this.width;
      const a = -(far + near) / (far - near), b = -2 * far * near / (far - near);
      const rows = [
        [...right.map(v => fx * v), -fx * dot(right, eye)],
        [...up.map(v => fy * v), -fy * dot(up, eye)],
        [...back.map(v => a * v), -a * dot(back, eye) + b],
        [...back.map(v => -v), dot(back, eye)],
      ];
      const out = new Float32Array(16);
      for (let r = 0; r < 4; r++) {
        for (let c = 0; c < 4; c++) out[4 * c + r] = rows[r][c] * (c < 3 ? this.step : 1);
      }
      return out;
    }

    draw() {
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.drawNow(); });
    }

    drawNow() {
      if (!this.canvas.clientWidth) return;
      this.fit();
      const gl = this.gl;
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
      gl.viewport(0, 0, this.width, this.height);
      gl.clearColor(0, 0, 0, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.enable(gl.DEPTH_TEST);
      gl.useProgram(this.points);
      gl.uniformMatrix4fv(this.at(this.points, "view"), false, this.matrix());
      gl.uniform1f(this.at(this.points, "size"), this.size * 2.4 * this.height / 2);
      gl.uniform1f(this.at(this.points, "cut"), this.cut / this.step + 1);
      gl.uniform3fv(this.at(this.points, "eye"), this.eye().map(v => v / this.step));
      gl.uniform1f(this.at(this.points, "open"), this.open ? 1 : 0);
      gl.bindVertexArray(this.cloud);
      gl.drawArrays(gl.POINTS, 0, this.count);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      gl.disable(gl.DEPTH_TEST);
      gl.useProgram(this.shade);
      ["colors", "depths"].forEach((name, i) => {
        gl.activeTexture(gl.TEXTURE0 + i);
        gl.bindTexture(gl.TEXTURE_2D, this.textures[i]);
        gl.uniform1i(this.at(this.shade, name), i);
      });
      const paper = getComputedStyle(this.canvas).backgroundColor.match(/[\d.]+/g).slice(0, 3).map(v => v / 255);
      gl.uniform3fv(this.at(this.shade, "paper"), paper);
      gl.uniform2fv(this.at(this.shade, "planes"), this.planes);
      gl.uniform1f(this.at(this.shade, "reach"), Math.max(1, Math.round(1.3 * this.scale)));
      gl.bindVertexArray(this.empty);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }

    /** Colours of all points: of the layer that is shown, without the classes that are hidden. */
    repaint() {
      const { paint, shown, classes } = this, count = this.count;
      const table = shown.kind === "color" ? null : shown.colors || shown.entries.flatMap(one => one.color);
      for (let i = 0; i < count; i++) {
        for (let c = 0; c < 3; c++) paint[4 * i + c] = table ? table[3 * shown.bytes[i] + c] : shown.bytes[3 * i + c];
        paint[4 * i + 3] = classes && classes.hidden.has(classes.bytes[i]) ? 0 : 255;
      }
      this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.painted);
      this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, paint);
      this.draw();
    }

    // ---- tools ----------------------------------------------------------------------------------------------------

    reset() {
      Object.assign(this, { ...this.first, target: [...this.first.target] });
      this.draw();
    }

    makeTools() {
      const tools = this.root.querySelector(".tools");
      const colors = element("div", "choices");
      this.layers.forEach(layer => {
        layer.button = Object.assign(element("button", "", layer.title), { type: "button" });
        layer.button.addEventListener("click", () => this.choose(layer));
        colors.append(layer.button);
      });
      const slider = (name, low, high, value, use) => {
        const label = element("label", "", name), input = element("input");
        Object.assign(input, { type: "range", min: low, max: high, step: "any", value });
        input.addEventListener("input", () => { use(+input.value); this.draw(); });
        label.append(input);
        return label;
      };
      const through = element("label", "", "See into the room"), box = element("input");
      Object.assign(box, { type: "checkbox", checked: this.open });
      box.addEventListener("change", () => { this.open = box.checked; this.draw(); });
      through.prepend(box);
      const own = Math.log2(this.size);
      const reset = Object.assign(element("button", "", "Reset view"), { type: "button" });
      reset.addEventListener("click", () => this.reset());
      tools.append(colors, slider("Point size", own - 3, own + 3, own, v => { this.size = 2 ** v; }),
        slider("Up to height", 0, this.top, Math.min(this.cut, this.top), v => { this.cut = v; }), ...(this.inward ? [through] : []), reset);
    }

    /** Colour by a layer. One with classes brings its legend; of others the legend stays, and goes on to hide. */
    choose(layer) {
      this.shown = layer;
      if (layer.kind === "class") this.classes = layer;
      this.classes = this.classes || this.layers.find(one => one.kind === "class");
      for (const one of this.layers) one.button.setAttribute("aria-pressed", one === layer);
      const ramp = this.root.querySelector(".ramp");
      ramp.hidden = layer.kind !== "value";
      if (layer.kind === "value") {
        const stops = [0, 51, 102, 153, 204, 255].map(i => `rgb(${layer.colors.slice(3 * i, 3 * i + 3)})`);
        ramp.style.setProperty("--ramp", stops.join(","));
      }
      this.makeLegend();
      this.repaint();
    }

    makeLegend() {
      const list = this.root.querySelector(".classes"), { entries, hidden } = this.classes || { entries: [] };
      const refresh = () => { this.makeLegend(); this.repaint(); };
      list.replaceChildren(...entries.map((entry, i) => {
        const line = element("li"), label = element("label"), box = element("input"), swatch = element("span", "swatch");
        Object.assign(box, { type: "checkbox", checked: !hidden.has(i) });
        box.addEventListener("change", () => { hidden.has(i) ? hidden.delete(i) : hidden.add(i); refresh(); });
        swatch.style.background = `rgb(${entry.color})`;
        label.append(box, swatch, element("span", "name", entry.name), element("span", "count", entry.count.toLocaleString("en")));
        const alone = entries.length > 1 && hidden.size === entries.length - 1 && !hidden.has(i);
        const only = element("button", "", alone ? "all" : "only");
        only.type = "button";
        only.addEventListener("click", () => {
          hidden.clear();
          if (!alone) entries.forEach((_, other) => other !== i && hidden.add(other));
          refresh();
        });
        line.append(label, only);
        return line;
      }));
    }

    // ---- pointing -------------------------------------------------------------------------------------------------

    turn(dx, dy) {
      this.yaw -= 0.006 * dx;
      this.pitch = Math.max(-1.57, Math.min(1.57, this.pitch + 0.006 * dy));
    }

    move(dx, dy) {
      const [right, up] = this.axes(), by = 2 * this.distance / (2.4 * this.canvas.clientHeight);
      this.target = this.target.map((t, i) => t - by * (dx * right[i] - dy * up[i]));
    }

    zoom(factor) {
      this.distance = Math.max(1e-3 * this.radius, Math.min(40 * this.radius, this.distance * factor));
    }

    listen() {
      const canvas = this.canvas, down = new Map();
      let moved = 0;
      const middle = () => [...down.values()].reduce((sum, p) => [sum[0] + p[0] / down.size, sum[1] + p[1] / down.size], [0, 0]);
      const spread = () => { const [a, b] = [...down.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
      canvas.addEventListener("pointerdown", event => {
        canvas.setPointerCapture(event.pointerId);
        if (!down.size) moved = 0;
        down.set(event.pointerId, [event.clientX, event.clientY]);
      });
      canvas.addEventListener("pointermove", event => {
        if (!down.has(event.pointerId)) return;
        const before = middle(), apart = down.size > 1 ? spread() : 0;
        down.set(event.pointerId, [event.clientX, event.clientY]);
        const [dx, dy] = middle().map((v, i) => v - before[i]);
        moved += Math.abs(dx) + Math.abs(dy);
        if (down.size > 1) this.zoom(apart / Math.max(spread(), 1));
        down.size > 1 || event.shiftKey || event.buttons & 6 ? this.move(dx, dy) : this.turn(dx, dy);
        this.draw();
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => down.delete(event.pointerId));
      canvas.addEventListener("contextmenu", event => event.preventDefault());
      canvas.addEventListener("wheel", event => {
        if (document.activeElement !== canvas) return;
        event.preventDefault();
        this.zoom(Math.exp(0.0012 * event.deltaY * (event.deltaMode ? 30 : 1)));
        this.draw();
      }, { passive: false });
      canvas.addEventListener("click", event => { if (moved < 4) this.tell(this.nearest(event)); });
      canvas.addEventListener("dblclick", event => {
        const i = this.nearest(event);
        if (i < 0) return;
        this.target = [0, 1, 2].map(axis => this.places[3 * i + axis] * this.step);
        this.zoom(0.5);
        this.draw();
      });
      canvas.addEventListener("keydown", event => {
        const by = { ArrowLeft: [20, 0], ArrowRight: [-20, 0], ArrowUp: [0, 20], ArrowDown: [0, -20] }[event.key];
        if (by) this.turn(...by);
        else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.8 : 1.25);
        else return;
        event.preventDefault();
        this.draw();
      });
      canvas.addEventListener("webglcontextlost", () => this.root.classList.remove("live"));
    }

    /** The number of the nearest point within a few pixels of a click that is in front; -1 for none. */
    nearest(event) {
      const box = this.canvas.getBoundingClientRect(), m = this.matrix(), p = this.places;
      const x = 2 * (event.clientX - box.left) / box.width - 1, y = 1 - 2 * (event.clientY - box.top) / box.height;
      const eye = this.eye().map(v => v / this.step), f = this.open ? this.facing : null;
      let best = -1, least = Infinity;
      for (let i = 0; i < this.count; i++) {
        const a = p[3 * i], b = p[3 * i + 1], c = p[3 * i + 2], w = m[3] * a + m[7] * b + m[11] * c + m[15];
        if (w <= 0 || !this.paint[4 * i + 3] || c * this.step > this.cut + this.step) continue;
        if (f && f[3 * i] * (eye[0] - a) + f[3 * i + 1] * (eye[1] - b) + f[3 * i + 2] * (eye[2] - c) < 0) continue;
        const dx = ((m[0] * a + m[4] * b + m[8] * c + m[12]) / w - x) * box.width / 2;
        const dy = ((m[1] * a + m[5] * b + m[9] * c + m[13]) / w - y) * box.height / 2;
        const off = Math.hypot(dx, dy), rank = w * (1 + 0.02 * off);
        if (off < 8 && rank < least) [best, least] = [i, rank];
      }
      return best;
    }

    tell(i) {
      const parts = i < 0 ? [] : this.layers.flatMap(layer =>
        layer.kind === "class" ? [`${layer.title}: ${layer.entries[layer.bytes[i]].name}`]
          : layer.kind === "value" ? [`${layer.title} ${(layer.bytes[i] / 255).toFixed(2)}`] : []);
      this.root.querySelector(".told").textContent = parts.join(" · ");
    }
  }

  const begin = root => {
    root.classList.remove("waits");
    try { new View(root); } catch (error) { root.classList.remove("live"); console.warn(error); }
  };
  // Browsers have a dozen of these at most: each begins as it comes near.
  const watch = new IntersectionObserver(seen => seen.forEach(one => {
    if (one.isIntersecting) { watch.unobserve(one.target); begin(one.target); }
  }), { rootMargin: "400px" });
  for (const root of document.querySelectorAll(".points")) {
    root.classList.add("waits");
    watch.observe(root);
  }
})();
