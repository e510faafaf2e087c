namespace KvStore.Simulation;

/// <summary>Something that must never happen has happened.</summary>
public sealed class SafetyViolationException : Exception
{
    public SafetyViolationException()
    {
    }

    public SafetyViolationException(string what)
        : base(what)
    {
    }

    public SafetyViolationException(string what, Exception inner)
        : base(what, inner)
    {
    }

    public SafetyViolationException(string invariant, string what)
        : base($"{invariant}: {what}") => Invariant = invariant;

    /// <summary>Short name of what was broken, as the result line shows it.</summary>
    public string Invariant { get; } = "safety";
}
