/* main() of the command. */
#include "cli/run.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
