using KvStore.Protocol;

namespace KvStore.LoadTests.Levels;

/// <summary>One kind of read under a uniform load.</summary>
/// <param name="Level">Asked for.</param>
/// <param name="MaxStalenessMs">At level bounded; else 0.</param>
/// <param name="Clients">Each with one request in flight, spread evenly over the nodes.</param>
/// <param name="LeastLocalShare">What the product promises of reads that ask nobody, without faults; null where it promises nothing.</param>
/// <param name="IsServedByAll">Every node must serve its share.</param>
internal sealed record LevelPoint(ReadLevel Level, int MaxStalenessMs, int Clients, double? LeastLocalShare = null, bool IsServedByAll = false)
{
    public static readonly IReadOnlyList<LevelPoint> All =
    [
        new(ReadLevel.Eventual, 0, 48, IsServedByAll: true),
        new(ReadLevel.Session, 0, 48, IsServedByAll: true),
        new(ReadLevel.Bounded, 100, 48),
        new(ReadLevel.Bounded, 250, 48, LeastLocalShare: 0.95),
        new(ReadLevel.Bounded, 500, 48),
        new(ReadLevel.Strong, 0, 256),
    ];

    public override string ToString() => Level == ReadLevel.Bounded ? $"bounded {MaxStalenessMs} ms" : Load.ReadLevels.NameOf(Level);
}
