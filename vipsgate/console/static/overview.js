// While a check is under way, the page looks again by itself.
const PAUSE = 1500; // ms
if (document.querySelector("[data-running]")) setTimeout(() => location.reload(), PAUSE);
