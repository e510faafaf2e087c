using System.Text.RegularExpressions;
using KvStore.Protocol;
using Xunit.Abstractions;

namespace KvStore.Architecture.Tests;

/// <summary>
/// What an operation costs: the files of src that name it: its body, its row, its route, one file of the client, and for a write its
/// rule. What a read answers stands beside its body. Whoever needs another file has found a place where operations are told apart by hand.
/// </summary>
public sealed partial class OperationFilesTests(ITestOutputHelper output)
{
    private const int MostOfWrite = 5;
    private const int MostOfRead = 4;

    /// <summary>Explain asks each replica by a get; that is a use of the operation and not a part of it.</summary>
    private const string Asker = "src/Node/Http/ExplainEndpoint.cs";

    /// <summary>A second store, written apart from the first one on purpose: each is the other's judge.</summary>
    private const string Double = "src/Testing/InMemoryKvStore.cs";

    public static TheoryData<string> Operations => [.. OperationTable.All.Select(row => row.Type.Name)];

    [Theory]
    [MemberData(nameof(Operations))]
    public void An_operation_is_named_in_few_files(string operation)
    {
        OperationRow row = OperationTable.All.Single(row => row.Type.Name == operation);
        string[] files = [.. FilesThatName(row.Type.Name).Where(file => file is not (Asker or Double))];
        output.WriteLine($"{row.Name}: {string.Join(", ", files)}");
        int most = row.IsWrite ? MostOfWrite : MostOfRead;
        Assert.True(
            files.Length >= 1 && files.Length <= most,
            $"{row.Type.Name} is named in {files.Length} files; {most} are enough for its body, its row, its route, one of the client and a rule. "
            + $"One of these tells operations apart by hand, where a member of the operation or its row should say it: {string.Join(", ", files)}");
    }

    /// <summary>The control: a type that is spread over the code is seen to be.</summary>
    [Fact]
    public void What_is_spread_is_counted() =>
        Assert.InRange(FilesThatName(nameof(KvReply)).Count(), 10, 1000);

    /// <summary>However a source spells the type. What only has the same name is nothing of it.</summary>
    [Theory]
    [InlineData("x = new Put(key);", true)]
    [InlineData("if (x is Put or Delete) { }", true)]
    [InlineData("int n = x switch\n{\n    Put => 1,\n    _ => 2,\n};", true)]
    [InlineData("int n = x switch { Put { Key.Length: 1 } => 1, _ => 2 };", true)]
    [InlineData("case Put:", true)]
    [InlineData("private Func<int, Put> make;", true)]
    [InlineData("private Put[] puts = [];", true)]
    [InlineData("private Put? put;", true)]
    [InlineData("Row<Put>(typeof(Put))", true)]
    [InlineData("Put.OperationCode", true)]
    [InlineData("void Put(Key key) { } // a Put", false)]
    [InlineData("store.Put(key); HttpMethods.Put.ToString();", false)]
    [InlineData("string s = \"a Put of a key\";", false)]
    [InlineData("enum KeyChange : byte\n{\n    Put,\n    Remove,\n}", false)]
    [InlineData("PutRoute route; InputPut other;", false)]
    public void A_type_is_seen_however_it_is_spelled(string source, bool isNamed) =>
        Assert.Equal(isNamed, Names("using KvStore.Protocol;\n" + source, "Put"));

    /// <summary>An operation to come would be called so: the numbers of that name, in Storage and elsewhere, are not it.</summary>
    [Fact]
    public void A_number_of_the_same_name_is_not_counted() => Assert.Empty(FilesThatName("Length"));

    private static IEnumerable<string> SourceFiles => Repository.Files("*.cs").Where(file => file.StartsWith("src/", StringComparison.Ordinal));

    private static IEnumerable<string> FilesThatName(string type) => SourceFiles.Where(file => Names(Repository.Read(file), type));

    // Operations are seen where their namespace is: without it a name of theirs is something else's.
    [GeneratedRegex(@"^(using|namespace) KvStore\.Protocol;", RegexOptions.Multiline)]
    private static partial Regex SeesOperations();

    // As a type: made, matched, cast to, asked for a member, a type argument, an arm of a switch, or the type of a parameter or field. Comments do
    // not count.
    private static bool Names(string source, string name)
    {
        string code = Regex.Replace(source, "//.*", "");
        return SeesOperations().IsMatch(code) && Regex.IsMatch(
            code,
            $@"new {name}\(|(is|as|not|or|case|class|sealed class) {name}\b|\({name}\)|(?<![\w.]){name}\.\w|<{name}[>?,]|(?<![\w.]){name}\??( \w+)?[,)] |(?<![\w.\""]){name} \w+ (=|=>|\{{)|, {name} \w+|\({name} \w+"
            + $@"|(^\s*|[{{(,] ){name} (=>|\{{)|(?<![\w.]){name}(\[\]|\? \w)|, {name}>",
            RegexOptions.Multiline);
    }
}
