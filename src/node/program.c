/* kith_config_from_agent(): a program takes cluster, secret and live addresses from an agent. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "node/agent_client.h"
#include "node/config.h"

#define ANSWER_MS 5000

static const char CREDENTIALS[] = "{\"id\":1,\"verb\":\"credentials\",\"args\":{}}";

static int set_text(struct kith_config *config, const char *key, json_t *result, const char *field)
{
    const char *text = json_string_value(json_object_get(result, field));

    if (text == NULL || text[0] == '\0')
        return kith_fail_with(KITH_E_CORRUPT, "the agent's credentials have no %s", field);
    return config_set_from(config, key, text, "agent");
}

/* An agent that only this machine reaches makes a program that only this machine reaches. */
static bool only_loopback(json_t *addresses)
{
    size_t at;
    json_t *address;

    json_array_foreach(addresses, at, address)
    {
        const char *text = json_string_value(address);
        if (text != NULL && strncmp(text, "127.", 4) != 0 && strncmp(text, "[::1]", 5) != 0)
            return false;
    }
    return true;
}

static int set_seeds(struct kith_config *config, json_t *addresses)
{
    size_t at;
    json_t *address;

    json_array_foreach(addresses, at, address)
    {
        if (!json_is_string(address))
            continue;
        int r = config_set_from(config, "net.seed", json_string_value(address), "agent");
        if (r != 0)
            return r;
    }
    return 0;
}

static int set_all(struct kith_config *config, json_t *result, const char *path)
{
    int r = config_set_from(config, "node.role", "program", "agent");

    if (r == 0)
        r = config_set_from(config, "program.agent", path, "agent");
    if (r == 0)
        r = set_text(config, "program.cluster_id", result, "cluster_id");
    if (r == 0)
        r = set_text(config, "program.cluster", result, "cluster");
    if (r == 0)
        r = set_text(config, "program.secret", result, "secret");
    if (r == 0)
        r = set_seeds(config, json_object_get(result, "addresses"));
    /* The agent has the usual port; a program takes any unless its author chose one. */
    if (r == 0 && !config_is_set(config, "net.listen"))
        r = config_set_from(config, "net.listen",
                            only_loopback(json_object_get(result, "addresses")) ? "127.0.0.1:0"
                                                                                : "[::]:0",
                            "agent");
    return r;
}

static int ask(struct agent_client *client, struct agent_message *answer)
{
    int r = agent_client_send(client, CREDENTIALS, NULL, 0);

    if (r == 0)
        r = agent_client_receive(client, ANSWER_MS, answer);
    if (r == KITH_E_TIMEOUT || r == KITH_E_CORRUPT)
        return KITH_E_NO_AGENT; /* the sentence says which */
    if (r != 0)
        return r;
    if (json_is_true(json_object_get(answer->json, "ok")))
        return 0;
    const char *why =
        json_string_value(json_object_get(json_object_get(answer->json, "error"), "message"));
    return kith_fail_with(KITH_E_NO_AGENT, "the agent gives no credentials: %s",
                          why != NULL ? why : "it does not say why");
}

int kith_config_from_agent(struct kith_config *config, const char *agent)
{
    char path[AGENT_SOCKET_PATH_MAX + 1];
    struct agent_client *client = NULL;
    struct agent_message answer;
    int r = agent_socket_find(agent, path, sizeof(path));

    if (r == 0)
        r = agent_client_open(&client, path);
    if (r != 0)
        return r;
    struct kith_config *fresh = config_copy(config);
    r = fresh == NULL ? KITH_E_MEMORY : ask(client, &answer);
    if (r == 0)
        r = set_all(fresh, json_object_get(answer.json, "result"), path);
    if (r == 0)
        config_swap(config, fresh);
    agent_client_close(client);
    kith_config_free(fresh);
    return r;
}
