// A crash, and the proxy's handler for it.
#pragma once

void watch_crashes(void);

// Crashes in crash_inner, which crash_middle has called.
int crash_outer(int value);
