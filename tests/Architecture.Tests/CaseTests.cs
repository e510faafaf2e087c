using System.Text.RegularExpressions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// What has broken this store once has a short id in docs/testing.md, and a test whose name begins with it: a method (A1_…) or a scenario of the core
/// (a5_….txt). An id without one is a fault that may come back unseen.
/// </summary>
public sealed partial class CaseTests
{
    /// <summary>How many cases there are of each letter: what is acknowledged, what ends a node, silence, strangers.</summary>
    private static readonly (char Letter, int Count)[] Parts = [('A', 13), ('B', 13), ('C', 7), ('D', 8)];

    public static TheoryData<string> Ids => [.. Parts.SelectMany(part => Enumerable.Range(1, part.Count).Select(n => $"{part.Letter}{n}"))];

    [Theory]
    [MemberData(nameof(Ids))]
    public void A_case_has_a_test_that_bears_its_id(string id)
    {
        string[] named = [.. NamesOfTests().Where(name => name.StartsWith($"{id}_", StringComparison.OrdinalIgnoreCase))];
        Assert.True(named.Length > 0, $"no test's name begins with {id}_");
    }

    /// <summary>The control: an id that nothing bears is missed, and one is not taken for another that begins like it.</summary>
    [Fact]
    public void An_id_that_no_test_bears_is_missed()
    {
        Assert.DoesNotContain(NamesOfTests(), name => name.StartsWith("A99_", StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain(["A13_a_name"], name => name.StartsWith("A1_", StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain("A1_helper", TestName().Matches("    private static void A1_helper()").Select(match => match.Groups[1].Value));
    }

    private static IEnumerable<string> NamesOfTests()
    {
        IEnumerable<string> methods = Repository.Files("*.cs")
            .Where(path => path.StartsWith("tests/", StringComparison.Ordinal))
            .SelectMany(path => TestName().Matches(Repository.Read(path)).Select(match => match.Groups[1].Value));
        IEnumerable<string> scenarios = Repository.Files("*.txt")
            .Where(path => path.StartsWith("tests/Raft.Tests/Scenarios/", StringComparison.Ordinal))
            .Select(path => Path.GetFileName(path)!);
        return [.. methods, .. scenarios];
    }

    [GeneratedRegex("""(?m)^    public (?:async )?(?:void|Task) (\w+)\(""")]
    private static partial Regex TestName();
}
