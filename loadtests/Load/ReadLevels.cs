using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>Levels as headers and histories spell them.</summary>
internal static class ReadLevels
{
    public static readonly IReadOnlyList<ReadLevel> All = [ReadLevel.Strong, ReadLevel.Bounded, ReadLevel.Session, ReadLevel.Eventual];

    public static string NameOf(ReadLevel level) => level switch
    {
        ReadLevel.Strong => "strong",
        ReadLevel.Bounded => "bounded",
        ReadLevel.Session => "session",
        ReadLevel.Eventual => "eventual",
        _ => throw new ArgumentOutOfRangeException(nameof(level), level, "not a level"),
    };

    /// <summary>An answer that names no level met none: eventual.</summary>
    public static ReadLevel Parse(string? name) => All.FirstOrDefault(level => NameOf(level) == name, ReadLevel.Eventual);

    public static string NameOf(OnUnmet onUnmet) => onUnmet switch
    {
        OnUnmet.Forward => "forward",
        OnUnmet.Fail => "fail",
        OnUnmet.Serve => "serve",
        _ => throw new ArgumentOutOfRangeException(nameof(onUnmet), onUnmet, "not a choice"),
    };
}
