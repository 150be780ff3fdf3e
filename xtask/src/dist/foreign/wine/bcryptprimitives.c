/* bcryptprimitives.dll, which Wine 8 lacks, with the one function that Rust's standard library needs:
 * random bytes, here from advapi32.dll. For tests alone. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
    return RtlGenRandom(bytes, (ULONG)length);
}
