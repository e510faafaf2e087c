namespace KvStore.Node.Config;

public enum StartVerb
{
    Run,
    PrintConfig,
    Help,
    Version,
}

/// <summary>The command line, read. Everything with the shape --Section:Key is a setting of the configuration.</summary>
public sealed record StartOptions
{
    public const string Usage = """
        Usage: KvStore.Node [options] [--Section:Key value ...]

        Without --node, every node of the file runs in this process, on loopback TCP, each with its own folder.

          --node ID            run this node only
          --config FILE        configuration, default ./cluster.json
          --data DIR           data folder, default ./data; node n1 keeps its files in DIR/n1
          --log text|json      shape of log lines, short for --Log:Format
          --accept-clock-skew  let a new cluster begin although its nodes' clocks are more than a minute apart, short for
                               --Clocks:AcceptSkew true
          --print-config       show every effective value and where it came from, then exit
          -h, --help           this text
          --version            version of the program

        A setting of cluster.json can be overridden by name: --Raft:ElectionTimeoutMs 800 (or =800), or in the
        environment: KVSTORE__Raft__ElectionTimeoutMs=800. The command line wins over the environment, which wins
        over the file. Wrong input ends with exit code 2 before anything is touched.
        """;

    public StartVerb Verb { get; init; }

    /// <summary>Null: every node of the file.</summary>
    public string? Node { get; init; }
    public string ConfigFile { get; init; } = "cluster.json";
    public string DataDirectory { get; init; } = "data";
    public IReadOnlyList<KeyValuePair<string, string>> Overrides { get; init; } = [];

    public static StartOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new StartOptions();
        var overrides = new List<KeyValuePair<string, string>>();
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i] == "-h" ? "--help" : arguments[i];
            if (!argument.StartsWith("--", StringComparison.Ordinal) || argument.Length == 2)
            {
                throw new ConfigurationException($"\"{argument}\" is not an option; --help lists them");
            }

            var equals = argument.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? argument[2..] : argument[2..equals];
            switch (name)
            {
                case "node": options = options with { Node = Value() }; break;
                case "config": options = options with { ConfigFile = Value() }; break;
                case "data": options = options with { DataDirectory = Value() }; break;
                case "log": overrides.Add(new("Log:Format", Value())); break;
                case "accept-clock-skew": overrides.Add(new("Clocks:AcceptSkew", equals < 0 ? "true" : Value())); break;
                case "print-config": options = options with { Verb = Alone(StartVerb.PrintConfig) }; break;
                case "help": options = options with { Verb = Alone(StartVerb.Help) }; break;
                case "version": options = options with { Verb = Alone(StartVerb.Version) }; break;
                case "join":
                    throw new ConfigurationException("--join is not available yet; list the node in cluster.json and start it with --node");
                default:
                    if (!name.Contains(':', StringComparison.Ordinal) && SettingTable.Find(name) is null)
                    {
                        var nearest = Names.Nearest(name, ["node", "config", "data", "log", "accept-clock-skew", "print-config", "help", "version"]);
                        throw new ConfigurationException(
                            $"--{name} is not an option; " + (nearest is null ? "--help lists them" : $"did you mean --{nearest}?"));
                    }

                    overrides.Add(new(name, Value()));
                    break;
            }

            StartVerb Alone(StartVerb verb) =>
                equals < 0 ? verb : throw new ConfigurationException($"--{name} takes no value; leave out \"{argument[equals..]}\"");

            string Value()
            {
                var value = equals >= 0 ? argument[(equals + 1)..] : i + 1 < arguments.Count ? arguments[++i] : string.Empty;
                return value.Length > 0 ? value : throw new ConfigurationException($"--{name} needs a value; --help shows the form");
            }
        }

        return options with { Overrides = overrides };
    }
}
