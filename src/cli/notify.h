/*
 * sd_notify: one datagram to the service manager, without its library. Does nothing where
 * NOTIFY_SOCKET is not set.
 */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdint.h>

/* "READY=1\nSTATUS=..." and so on. Failures are ignored: there is nobody to tell. Any thread. */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Half of the watchdog's period in ms, 0 if there is none for this process. */
uint64_t notify_watchdog_ms(void);

#endif
