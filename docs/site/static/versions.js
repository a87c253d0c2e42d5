// Fills the list of versions from versions-list.js, which lies one folder above the pages of each version.
(function () {
  const root = document.documentElement.dataset.content_root || "./";
  const script = document.createElement("script");
  script.src = new URL(root + "../versions-list.js", document.baseURI);
  script.onload = function () {
    const list = document.getElementById("version-list");
    if (!list || !window.BACKBONEKIT_VERSIONS) return;
    list.replaceChildren();
    for (const name of window.BACKBONEKIT_VERSIONS) {
      const option = new Option(name, name, false, name === list.dataset.own);
      list.add(option);
    }
    list.onchange = function () {
      window.location.href = new URL(root + "../" + list.value + "/index.html", document.baseURI);
    };
  };
  document.head.append(script);
})();
