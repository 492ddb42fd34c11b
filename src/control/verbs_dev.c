/* kill: what only the nodes of kith dev do, so that a page can show what a lost node costs. */
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "control/request.h"
#include "core/alloc.h"
#include "node/config.h"

#define ANSWER_MS 100 /* time for the answer to leave */

static void on_kill_timer(uv_timer_t *timer)
{
    (void)timer;
    (void)kill(getpid(), SIGKILL);
}

/* Ends this process as a power cut would: nothing is closed, nobody is told. */
static void kill_self(struct control_request *request)
{
    if (!config_bool(node_config(request->node), "node.dev")) {
        control_fail(request, KITH_E_PERMISSION,
                     "only nodes that kith dev started can be killed from elsewhere; to stop this "
                     "one in order: kith leave, or end its process");
        return;
    }
    uv_timer_t *timer = core_calloc(1, sizeof(*timer)); /* ends with the process */
    if (timer == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    uv_timer_init(node_loop(request->node), timer);
    uv_timer_start(timer, on_kill_timer, ANSWER_MS, 0);
    control_reply_empty(request);
}

const struct control_verb control_verbs_dev[] = {
    {.name = "kill", .run = kill_self, .forward = "node", .remote = true},
    {0},
};
