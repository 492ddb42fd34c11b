/* The whole command, so that its main() is one line and tests can link the rest. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

int cli_main(int argc, char **argv);

#endif
