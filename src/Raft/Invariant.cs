using System.Diagnostics.CodeAnalysis;

namespace KvStore.Raft;

/// <summary>
/// A property whose failure means the replica's state cannot be trusted. Checked in release too: a restart replays, a lie stays.
/// </summary>
public static class Invariant
{
    public static void Check([DoesNotReturnIf(false)] bool holds, string property)
    {
        if (!holds)
        {
            throw new InvariantViolationException(property);
        }
    }
}

/// <summary>A broken invariant. Nobody handles it: the process ends.</summary>
public sealed class InvariantViolationException : Exception
{
    public InvariantViolationException()
    {
    }

    public InvariantViolationException(string property)
        : base($"Invariant broken: {property}")
    {
    }

    public InvariantViolationException(string property, Exception inner)
        : base($"Invariant broken: {property}", inner)
    {
    }
}
