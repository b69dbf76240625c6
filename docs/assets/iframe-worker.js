// Search runs in a worker, which browsers refuse to pages that are opened from the disk. There, a hidden frame runs
// what a worker would.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.running = new Promise((resolve) => {
        this.frame.addEventListener("load", () => resolve(this.run(url)), { once: true });
      });
      document.body.append(this.frame);
    }

    run(url) {
      const { contentWindow: inside } = this.frame;
      inside.postMessage = (data) => {
        const message = new MessageEvent("message", { data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      };
      return new Promise((resolve) => {
        const script = inside.document.createElement("script");
        script.src = url;
        script.onload = () => resolve(inside);
        inside.document.body.append(script);
      });
    }

    postMessage(data) {
      this.running.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
