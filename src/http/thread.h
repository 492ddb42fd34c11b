/* What the system is asked for threads of this room. */
#ifndef HTTP_THREAD_H
#define HTTP_THREAD_H

/* The calling thread gets what others leave: it computes, and nobody waits for it. */
void http_thread_yields(void);

#endif
