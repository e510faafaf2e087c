using Xunit.Abstractions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// Types that can only be understood together: the largest such set of each project, as it is. A number here may be lowered and never raised.
/// </summary>
public sealed class CycleTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("Raft", 1)]
    [InlineData("Protocol", 17)]
    [InlineData("Cluster", 1)]
    [InlineData("Storage", 3)]
    [InlineData("StateMachine", 4)]
    [InlineData("Replication", 3)]
    [InlineData("ClientLib", 3)] // a store takes a batch, and a batch makes its calls of the store it is given
    [InlineData("Node", 2)]
    public void The_largest_cycle_of_types_does_not_grow(string project, int most)
    {
        TypeCycles types = TypeCycles.OfProject(project);
        IReadOnlyList<IReadOnlyList<string>> cycles = types.Cycles();
        foreach (IReadOnlyList<string> cycle in cycles)
        {
            output.WriteLine($"{project}: {cycle.Count} of {types.Count}: {string.Join(", ", cycle)}");
        }

        Assert.InRange(cycles.Count == 0 ? 1 : cycles[0].Count, 1, most);
    }

    /// <summary>The controls: a cycle over partial files, nested types and interfaces is seen, and what only looks like one is not.</summary>
    [Fact]
    public void Cycles_are_found()
    {
        TypeCycles types = TypeCycles.Of(
        [
            "public sealed partial class A { private B _b; } internal enum Alone { B, C }",
            "public sealed partial class A { void Use(ISeam seam) { } }",
            "class B { class Inner { C C { get; } } }",
            "record C(int X) : Base(\"A\"); // names A",
            "interface ISeam { } sealed class Real : ISeam { D _d; }",
            "struct D { void M() { Foo.A = \"A { \"; A.B(); } }",
            "class Top(ISeam seam) { A _a; Real _r; }",
        ]);
        Assert.Equal([["A", "D", "Real"]], types.Cycles().Select(cycle => cycle.ToArray()));
    }
}
