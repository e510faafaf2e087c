using KvStore.Client;
using KvStore.Protocol;

namespace KvStore.Cli;

/// <summary>What a script learns from kvctl without reading what it prints.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int Failure = 1;
    public const int Usage = 2;
    public const int Unreachable = 3;
    public const int NotFound = 4;
    public const int ConditionFailed = 5;
    public const int TimeoutOrUnknown = 6;
    public const int Unhealthy = 7;
    public const int Interrupted = 130;

    public static int Of(KvException e) => e.Code switch
    {
        ErrorCode.KeyNotFound => NotFound,
        ErrorCode.ConditionFailed => ConditionFailed,
        ErrorCode.NoLeader or ErrorCode.Starting or ErrorCode.Draining => Unreachable,
        ErrorCode.Timeout or ErrorCode.Indeterminate => TimeoutOrUnknown,
        ErrorCode.InvalidRequest or ErrorCode.TooLarge or ErrorCode.CrossGroupTransaction => Usage,
        _ => Failure,
    };
}
