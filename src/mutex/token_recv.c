/*
 * What a participant hears of a token: requests, the token itself, grants, and the generation that
 * a home begins.
 */
#include <stdio.h>

#include "mutex/internal.h"

/* What is said of a holder that is known here, to be put behind a sentence. */
void token_holder_text(struct mutex_core *core, struct mutex *m, char *out, size_t bytes)
{
    out[0] = '\0';
    if (m->held_n == 0)
        return;
    const struct waiter *w = container_of(m->held.next, struct waiter, link);
    char pid[32] = "";
    if (w->pid != 0)
        (void)snprintf(pid, sizeof(pid), " (pid %llu)", (unsigned long long)w->pid);
    (void)snprintf(out, bytes, ": %s%s%s%s has held it for %llu ms",
                   w->owner_text[0] != '\0' ? w->owner_text : "somebody", pid,
                   core->self_name[0] != '\0' ? " on " : "", core->self_name,
                   (unsigned long long)(core->now_ms - w->since_ms));
}

static void recv_req(struct mutex_core *core,
                     struct mutex *m,
                     const struct boot_id *from,
                     struct mutex_msg *msg)
{
    struct mutex_msg_part of = {
        .boot = *from, .joined = msg->joined, .member_id = msg->member_id, .epoch = msg->epoch};
    struct part *part = part_hear(core, m, from, &of);
    if (part == NULL || m->state != IN)
        return;
    if (msg->a > part->rn && msg->a <= UINT32_MAX)
        part->rn = (uint32_t)msg->a;
    if (m->queue || !m->token)
        return;
    if (m->held_n > 0) {
        if (m->burst_n > 1 && part->rn > part->ln) { /* from now on others wait */
            m->burst_n = 1;
            m->burst_ms = core->now_ms;
        }
        if ((msg->flags & MSG_AGAIN) != 0) {
            char text[300];
            token_holder_text(core, m, text, sizeof(text));
            msg_send(core, m, from, (struct mutex_msg){.type = MSG_HOLD, .a = msg->a}, text);
        }
        return;
    }
    token_pass(core, m);
}

static void recv_token(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *from,
                       struct mutex_msg *msg)
{
    bool ours = m->state == IN && msg->to_joined == m->joined && !m->queue;
    bool of_gen = msg->gen == m->gen || MUTANT(MUTEX_ANY_GENERATION);
    int64_t x = (int64_t)msg->a;

    if (!ours || !of_gen) {
        core->stats.tokens_stale++;
        if (msg->gen > m->gen)
            record_refresh(core, m);
        else if (msg->gen < m->gen)
            msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER}, NULL);
        return;
    }
    if (!lease_valid(core, m))
        return; /* it comes again */
    bool newer = x > m->lx || MUTANT(MUTEX_NO_TRANSFER_NO);
    if (newer && !(m->token && m->held_n > 0)) {
        if (msg->parts_n > core->config.participants_max || m->frozen)
            return;
        m->lx = x;
        m->ctr = (uint32_t)msg->b;
        m->token_gen = msg->gen;
        m->q_n = 0;
        for (struct mutex_msg_part p; mutex_msg_next_part(msg, &p);) {
            struct part *part = part_hear(core, m, &p.boot, &p);
            if (part != NULL)
                part->ln = p.ln;
        }
        for (uint32_t joined; mutex_msg_next_queued(msg, &joined);) {
            if (!token_queued(m, joined))
                (void)token_queue(m, joined);
        }
        core->stats.tokens_taken++;
        token_tack_later(core, m, from, msg->joined, msg->gen, x);
        token_arrived(core, m);
        return;
    }
    core->stats.tokens_stale++;
    msg_send(core, m, from,
             (struct mutex_msg){
                 .type = MSG_TACK, .gen = msg->gen, .to_joined = msg->joined, .a = msg->a},
             NULL);
}

static void recv_grant(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *from,
                       struct mutex_msg *msg)
{
    if (m->state != IN || msg->to_joined != m->joined || msg->gen != m->gen || m->queue) {
        if (msg->gen < m->gen)
            msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER}, NULL);
        return;
    }
    if (!lease_valid(core, m))
        return;
    if (m->lx < 0) {
        m->lx = 0;
        m->ctr = 0;
        m->q_n = 0;
        m->token_gen = msg->gen;
        for (struct mutex_msg_part p; mutex_msg_next_part(msg, &p);) {
            struct part *part = part_hear(core, m, &p.boot, &p);
            if (part != NULL)
                part->ln = p.ln;
        }
        token_arrived(core, m);
    }
    msg_send(core, m, from, (struct mutex_msg){.type = MSG_GACK, .gen = msg->gen}, NULL);
}

/* What we have, in the generation that begins. */
static void
report(struct mutex_core *core, struct mutex *m, const struct boot_id *to, struct mutex_msg *asked)
{
    bool same = m->state == IN && m->joined == asked->to_joined;
    uint32_t inside = same ? m->held_n : 0;
    bool wants = same && m->waiting_n > 0;
    struct mutex_msg msg = {.type = MSG_REPORT,
                            .flags = wants ? MSG_WANTS : 0,
                            .name = m->name,
                            .name_len = m->name_len,
                            .gen = asked->gen,
                            .joined = asked->to_joined,
                            .a = same ? m->n : 0,
                            .b = same ? m->n - (m->want || (inside > 0 && m->n > 0) ? 1u : 0u) : 0};
    struct sending s = msg_begin(core, to, &msg);
    s.bad |= mutex_msg_parts(s.buf, 0) | mutex_msg_u16(s.buf, 0);
    s.bad |= mutex_msg_u16(s.buf, (uint16_t)inside);
    list_for_each (it, &m->held) {
        const struct waiter *w = container_of(it, struct waiter, link);
        if (!same)
            break;
        s.bad |= mutex_msg_hold(
            s.buf, &(struct mutex_msg_hold){.rid = w->rid,
                                            .fence = w->fence,
                                            .owner = w->owner,
                                            .flags = HOLD_HOLDS | (w->shared ? HOLD_SHARED : 0)});
    }
    s.bad |= mutex_msg_text(s.buf, NULL, 0);
    msg_end(core, &s, to);
}

/*
 * Who is inside since an older generation is thrown out. The record may have told of the new one
 * already, without the force: that comes with the question only.
 */
static void force_out(struct mutex_core *core, struct mutex *m)
{
    list_for_each_safe (it, &m->held) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->fence >> 32 < m->gen)
            local_lose(core, w, "it was broken by force");
    }
    if (m->frozen && m->held_n == 0)
        m->frozen = m->token = false;
}

static void recv_recover(struct mutex_core *core,
                         struct mutex *m,
                         const struct boot_id *from,
                         struct mutex_msg *msg)
{
    if (msg->c != core->config.self.boot_no)
        return; /* for a former run of this node */
    if (m->state == IN && msg->gen > m->gen)
        token_adopt(core, m, msg->gen, (msg->flags & MSG_QUEUE) != 0,
                    (msg->flags & MSG_FORCE) != 0);
    if (m->state == IN && msg->gen == m->gen && (msg->flags & MSG_FORCE) != 0)
        force_out(core, m);
    if (m->state == OUT && msg->gen > m->gen)
        m->gen = msg->gen; /* a joining of ours may be under way: not in an older one any more */
    if (m->state == IN && msg->gen < m->gen)
        msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER}, NULL);
    else
        report(core, m, from, msg);
}

static void recv_left(struct mutex *m, const struct mutex_msg *msg)
{
    struct part *part = part_find(m, msg->joined);
    if (part != NULL)
        part->rn = part->ln; /* it waits no more; the record says the rest */
    for (uint32_t i = 0; i < m->q_n; i++) {
        if (m->q[i] == msg->joined) {
            memmove(m->q + i, m->q + i + 1, (m->q_n - i - 1) * sizeof(*m->q));
            m->q_n--;
            break;
        }
    }
}

static void recv_hold(struct mutex_core *core, struct mutex *m, const struct mutex_msg *msg)
{
    if (!m->want || msg->a != m->n || msg->gen != m->gen)
        return;
    m->answered_ms = core->now_ms;
    list_for_each_safe (it, &m->waiting) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->try_only)
            local_end(core, w, KITH_E_AGAIN, "the mutex '%s' is not free%.*s", m->name,
                      msg->text_len, msg->text);
    }
}

void token_recv(struct mutex_core *core,
                struct mutex *m,
                const struct boot_id *from,
                struct mutex_msg *msg)
{
    switch (msg->type) {
    case MSG_REQ:
        if (m->state == IN && msg->gen < m->gen)
            msg_send(core, m, from, (struct mutex_msg){.type = MSG_NEWER}, NULL);
        else if (msg->gen > m->gen)
            record_refresh(core, m);
        recv_req(core, m, from, msg);
        break;
    case MSG_TOK:
        recv_token(core, m, from, msg);
        break;
    case MSG_TACK:
        if (m->transit && msg->gen == m->token_gen && (int64_t)msg->a == m->transit_x)
            m->transit = false;
        break;
    case MSG_HOLD:
        recv_hold(core, m, msg);
        break;
    case MSG_RECOVER:
        recv_recover(core, m, from, msg);
        break;
    case MSG_GRANT:
        recv_grant(core, m, from, msg);
        break;
    case MSG_NEWER:
        if (msg->gen > m->gen || m->home != NULL)
            record_refresh(core, m);
        break;
    default:
        recv_left(m, msg);
        break;
    }
    mutex_touch(core, m);
}
