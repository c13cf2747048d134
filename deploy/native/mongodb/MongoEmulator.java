import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Serves the MongoDB protocol from one file, for development and tests. Arguments: data folder, port (0 picks a free one).
 * Writes the port to the file `port` in the folder once it answers.
 */
public final class MongoEmulator {
    private static final Set<String> WRITES = Set.of("insert", "update", "delete", "findAndModify", "findandmodify",
            "create", "drop", "dropDatabase", "createIndexes", "dropIndexes", "renameCollection");

    /** Reports wire version 9, the minimum of current drivers; the library's own versions end at 8. */
    private static final MongoVersion VERSION = new MongoVersion() {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    };

    /** Acknowledges a write once it is on disk. Without this, the store writes changes once a second. */
    private static final class DurableBackend extends H2Backend {
        DurableBackend(String file) {
            super(file);
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            Document asked = message.getDocument();
            boolean inOrder = asked.get("updates") instanceof List<?> updates && updates.size() > 1
                    && !Boolean.FALSE.equals(asked.get("ordered"));
            Document answer = inOrder ? updatedInOrder(message) : super.handleMessage(message);
            if (WRITES.contains(asked.keySet().iterator().next())) getMvStore().commit();
            return answer;
        }

        /** Stops an ordered bulk at the first failed update. Without this, the library continues. */
        private Document updatedInOrder(MongoMessage message) {
            Document asked = message.getDocument();
            List<Document> upserted = new ArrayList<>();
            Document sum = new Document();
            int index = 0;
            for (Object update : (List<?>) asked.get("updates")) {
                Document one = asked.clone();
                one.put("updates", List.of(update));
                Document answer = super.handleMessage(new MongoMessage(message.getChannel(), message.getHeader(), one));
                if (!answer.containsKey("n")) return answer;
                for (String count : List.of("n", "nModified")) sum.merge(count, answer.get(count), DurableBackend::added);
                upserted.addAll(at(index, answer, "upserted"));
                List<Document> errors = at(index, answer, "writeErrors");
                if (!errors.isEmpty()) {
                    sum.put("writeErrors", errors);
                    break;
                }
                index++;
            }
            if (!upserted.isEmpty()) sum.put("upserted", upserted);
            sum.put("ok", 1.0);
            return sum;
        }

        private static Object added(Object left, Object right) {
            return ((Number) left).intValue() + ((Number) right).intValue();
        }

        /** Copies the entries for the only update of an answer, under the given index. */
        private static List<Document> at(int index, Document answer, String list) {
            List<Document> found = new ArrayList<>();
            if (answer.get(list) instanceof Iterable<?> each)
                for (Object one : each) {
                    Document document = ((Document) one).clone();
                    document.put("index", index);
                    found.add(document);
                }
            return found;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        int port = Integer.parseInt(arguments[1]);
        Files.createDirectories(folder);
        DurableBackend backend = new DurableBackend(folder.resolve("data.h2").toString());
        backend.version(VERSION);
        MongoServer server = new MongoServer(backend);
        // One worker thread runs all commands in turn: concurrently with a rename, readers would see an empty collection.
        server.bind(new InetSocketAddress("127.0.0.1", port), 1, 1);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));

        Path written = Files.writeString(folder.resolve("port.new"), server.getLocalAddress().getPort() + "\n");
        Files.move(written, folder.resolve("port"), StandardCopyOption.ATOMIC_MOVE);
    }
}
