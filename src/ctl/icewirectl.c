#include "icewirectl.h"
int icewirectl_run(int argc, char *argv[])
{
        return 1;
}
