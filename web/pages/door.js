// Before anything is shown: log in, or make the first user.
import { fill, h } from "../lib/dom.js";
import { login, session } from "../lib/session.js";
import { commandLine, field } from "../lib/ui.js";

export function door(place) {
  const { info } = session;
  let registering = false;

  function draw(problem) {
    const user = h("input", { name: "user", autocomplete: "username", required: true, autofocus: true, maxLength: 64, autocapitalize: "none", spellcheck: false });
    const password = h("input", { name: "password", type: "password", autocomplete: registering ? "new-password" : "current-password", required: true });
    const remember = h("input", { name: "remember", type: "checkbox" });
    const submit = h("button.primary", { type: "submit" }, registering ? "Register" : "Log in");
    const form = h("form.form", {
      onsubmit: async (event) => {
        event.preventDefault();
        submit.disabled = true;
        try {
          const who = { user: user.value, password: password.value };
          await login(registering ? who : { ...who, remember: remember.checked }, registering);
        } catch (error) {
          draw(error);
        }
      },
    },
    problem && h("div.problem", { role: "alert" }, [problem.message, problem.hint].filter(Boolean).join(" ")),
    field("User", user), field("Password", password, registering ? "At least 8 characters; long beats odd." : undefined),
    !registering && h("label.check", null, remember, "Keep me logged in"), submit);
    fill(place, h("div.door", null, h("main.card", null,
      h("div.brand", null, h("img", { src: "/icon.svg", alt: "" }), h("div", null, h("b", null, info?.cluster || "kith"), h("span", null, info?.node ? `node ${info.node}` : ""))),
      h("h1", null, registering ? "Register" : "Log in"),
      info?.first
        ? [problem && h("div.problem", { role: "alert" }, [problem.message, problem.hint].filter(Boolean).join(" ")),
          h("p", null, "Nobody has an account yet. On a machine of the cluster, this prints a link that logs you in as the admin:"), commandLine("kith web")]
        : [form, info?.register && h("button.plain", { onclick: () => { registering = !registering; draw(); } }, registering ? "I have an account" : "Register a new account"),
          h("small", null, "Or print a link that logs you in: ", h("code", null, "kith web"))])));
    user.focus();
  }
  const problem = session.problem ?? (info?.expired ? { message: "Your session is over.", hint: "Log in again; you come back to the same page." } : null);
  session.problem = null;
  draw(problem);
}
