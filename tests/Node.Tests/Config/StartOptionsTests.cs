using KvStore.Node.Config;

namespace KvStore.Node.Tests.Config;

public class StartOptionsTests
{
    [Fact]
    public void Without_arguments_every_node_runs_from_the_working_directory()
    {
        var options = StartOptions.Parse([]);
        Assert.Equal(StartVerb.Run, options.Verb);
        Assert.Null(options.Node);
        Assert.Equal("cluster.json", options.ConfigFile);
        Assert.Equal("data", options.DataDirectory);
    }

    [Fact]
    public void Values_follow_as_a_word_or_after_an_equals_sign()
    {
        var options = StartOptions.Parse(
            ["--node", "n1", "--config=a.json", "--data", "d", "--Raft:TickMs=20", "--groups", "4", "--log", "json", "--print-config"]);
        Assert.Equal(("n1", "a.json", "d", StartVerb.PrintConfig), (options.Node, options.ConfigFile, options.DataDirectory, options.Verb));
        Assert.Equal([new("Raft:TickMs", "20"), new("groups", "4"), new("Log:Format", "json")], options.Overrides);
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("-h")]
    public void Help_has_a_short_form(string argument) => Assert.Equal(StartVerb.Help, StartOptions.Parse([argument]).Verb);

    [Theory]
    [InlineData("--accept-clock-skew", "true")]
    [InlineData("--accept-clock-skew=true", "true")]
    [InlineData("--accept-clock-skew=false", "false")]
    public void A9_a_flag_that_is_given_a_value_has_that_value(string argument, string value) =>
        Assert.Equal([new("Clocks:AcceptSkew", value)], StartOptions.Parse([argument]).Overrides);

    [Theory]
    [InlineData("--print-config=false")]
    [InlineData("--help=no")]
    [InlineData("--version=")]
    public void A_flag_that_takes_no_value_is_refused_with_one(string argument) =>
        Assert.Contains("takes no value", Assert.Throws<ConfigurationException>(() => StartOptions.Parse([argument])).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("--nod", "did you mean --node")]
    [InlineData("n1", "not an option")]
    [InlineData("-n", "not an option")]
    [InlineData("--node", "needs a value")]
    [InlineData("--join", "not available yet")]
    [InlineData("--accept-clock-skew=", "needs a value")]
    public void Everything_else_is_an_error(string argument, string message) =>
        Assert.Contains(message, Assert.Throws<ConfigurationException>(() => StartOptions.Parse([argument])).Message);
}
