#include "http/thread.h"

#include <sys/resource.h>
#include <unistd.h>

/* Others get three times as much. Not more: who logs in on a busy machine waits for it. */
#define NICE 5

void http_thread_yields(void)
{
    /* Here, and only here, a priority is a thread's own. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}
