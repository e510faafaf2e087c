using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Xunit.Sdk;

namespace KvStore.Protocol.Tests;

/// <summary>Which feature level an operation belongs to, and that the table of docs/wire-protocol.md says so.</summary>
public sealed class OperationLevelTests
{
    /// <summary>What the builds of a level know. A line changes only until the first build of its level is released.</summary>
    private static readonly (ushort Level, string Operations)[] Known =
    [
        (1, "get, put, delete, incr, batch"),
        (2, "append, routing, txn"),
    ];

    [Fact]
    public void A_level_that_was_released_takes_no_more_operations() => AssertClosed(OperationTable.All, FeatureLevel.Max);

    [Fact]
    public void An_operation_put_into_a_released_level_is_named_with_what_to_do()
    {
        var copied = OperationTable.Find(Append.OperationCode)! with { Code = 9, Name = "prepend" };
        var e = Assert.ThrowsAny<XunitException>(() => AssertClosed([.. OperationTable.All, copied], FeatureLevel.Max));
        Assert.Contains("prepend", e.Message, StringComparison.Ordinal);
        Assert.Contains("raise FeatureLevel.Max", e.Message, StringComparison.Ordinal);
        Assert.ThrowsAny<XunitException>(() => AssertClosed([.. OperationTable.All, copied with { Level = 3 }], FeatureLevel.Max));
        Assert.ThrowsAny<XunitException>(() => AssertClosed(OperationTable.All, max: 3));
    }

    [Fact]
    public void An_operation_says_the_level_of_its_row()
    {
        foreach (var operation in Samples.FullOperations)
        {
            var row = OperationTable.Find(operation.Code)!;
            bool agrees = operation.Youngest == operation ? operation.Level == row.Level : operation.Level >= row.Level;
            Assert.True(agrees, $"{row.Name} says level {operation.Level}, and its row in OperationTable level {row.Level}");
        }
    }

    [Fact]
    public void The_table_of_the_document_is_that_of_the_code() => AssertDocumented(Page(), OperationTable.All);

    [Fact]
    public void An_operation_that_the_document_leaves_out_is_named()
    {
        var forgotten = OperationTable.All[0] with { Code = 200, Name = "forgotten" };
        var e = Assert.ThrowsAny<XunitException>(() => AssertDocumented(Page(), [.. OperationTable.All, forgotten]));
        Assert.Contains("forgotten", e.Message, StringComparison.Ordinal);
        Assert.ThrowsAny<XunitException>(() => AssertDocumented(Page(), [.. OperationTable.All.Select(row => row with { Level = 2 })]));
    }

    private static void AssertClosed(IReadOnlyList<OperationRow> rows, ushort max)
    {
        foreach (ushort level in rows.Select(row => row.Level).Append(max).Distinct())
        {
            string now = string.Join(", ", rows.Where(row => row.Level == level).Select(row => row.Name));
            string? then = Known.SingleOrDefault(line => line.Level == level).Operations;
            Assert.True(then is not null, $"level {level} ({now}) has no line here: write one, and FeatureLevel.Max is the last of them");
            Assert.True(
                now == then,
                $"level {level} is to have {now}; its builds know {then}. Levels that were released are closed: an older build of the level would be "
                + "given an entry it does not know. Give the new operation a level of its own: raise FeatureLevel.Max by one, say it in "
                + "the operation's Level and its row, and add a line here.");
        }

        Assert.Equal(max, Known[^1].Level);
    }

    private static void AssertDocumented(string page, IReadOnlyList<OperationRow> rows)
    {
        string table = page[page.IndexOf("| number | operation |", StringComparison.Ordinal)..];
        table = table[..table.IndexOf("\n\n", StringComparison.Ordinal)];
        var shown = Regex.Matches(table, @"^\| (\d+) \| (\w+) \|.*\| (\d+) \|$", RegexOptions.Multiline)
            .Select(line => $"{line.Groups[1].Value} {line.Groups[2].Value}, since level {line.Groups[3].Value}");
        var known = rows.Select(row => $"{row.Code} {row.Name}, since level {row.Level}");
        string missing = string.Join("; ", known.Except(shown));
        string tooMuch = string.Join("; ", shown.Except(known));
        Assert.True(
            known.SequenceEqual(shown),
            $"the table of operations in docs/wire-protocol.md lacks [{missing}] and has [{tooMuch}] that OperationTable has not");
    }

    private static string Page([CallerFilePath] string source = "") =>
        File.ReadAllText(Path.Combine(Path.GetDirectoryName(source)!, "..", "..", "docs", "wire-protocol.md"));
}
