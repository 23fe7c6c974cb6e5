import './ui.css';
import './run.css';
import './memory.css';
import './bridge.css';
import './panel.css';
import './outputs.css';
import './cells.css';
import './notebook.css';
