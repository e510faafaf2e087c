using static KvStore.Storage.Tests.TableTortureTests;

namespace KvStore.Storage.Tests;

/// <summary>The readers of <see cref="TableTortureTests"/> without one of the two tests of a lock-free read must see wrong data.</summary>
public sealed class TableTortureNegativeControls
{
    /// <summary>They stop at the first wrong answer, usually at once.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(Leaf.MaxPairs, LeafDirectory.MaxLeaves)]
    [InlineData(3, 2)]
    public void Without_the_second_look_at_the_generation_the_readers_see_wrong_values(int pairsPerLeaf, int leavesPerDirectory)
    {
        var run = new Torture(new TreeShape(pairsPerLeaf, leavesPerDirectory));
        run.Run<WithoutGenerationRecheck>(Limit);
        Assert.False(run.Violations.IsEmpty, $"nothing wrong in {run.Reads} reads");
    }

    [Theory]
    [InlineData(Leaf.MaxPairs, LeafDirectory.MaxLeaves)]
    [InlineData(3, 2)]
    public void Without_the_visibility_test_the_readers_see_half_a_batch(int pairsPerLeaf, int leavesPerDirectory)
    {
        var run = new Torture(new TreeShape(pairsPerLeaf, leavesPerDirectory));
        run.Run<WithoutVisibilityTest>(Limit);
        Assert.False(run.Violations.IsEmpty, $"nothing wrong in {run.Reads} reads");
    }

    private readonly struct WithoutGenerationRecheck : IReadRules
    {
        public static bool RecheckGeneration => false;
        public static bool TestVisibility => true;
    }

    private readonly struct WithoutVisibilityTest : IReadRules
    {
        public static bool RecheckGeneration => true;
        public static bool TestVisibility => false;
    }
}
